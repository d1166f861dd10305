/* Reads the layer, or the tagger, in each file, and prints a line for it: "read", or why it was refused. `read_files layer FILE...` */
#include <stdio.h>
#include <string.h>

#include "hiddenstate.h"

int main(int count, char **arguments) {
    for (int k = 2; k < count; ++k) {
        hs_error error;
        hs_model *model = NULL;
        hs_tagger *tagger = NULL;
        const int is_layer = strcmp(arguments[1], "layer") == 0;
        const hs_status status = is_layer ? hs_model_load(arguments[k], &model, &error) : hs_tagger_load(arguments[k], &tagger, &error);
        puts(status == HS_OK ? "read" : error.message);
        if (status != HS_OK && status != HS_FILE) return 1;
        hs_model_free(model);
        hs_tagger_free(tagger);
    }
    return 0;
}
