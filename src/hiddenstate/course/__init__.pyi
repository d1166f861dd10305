from hiddenstate.course.checks import check as check
from hiddenstate.course.files import data as data
from hiddenstate.course.files import keys_sentences as keys_sentences
