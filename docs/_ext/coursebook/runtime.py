"""The studio's runtime as one classic script: a page opened from disk may not load modules."""

import re

from hiddenstate.studio import assets
from hiddenstate.studio.joined import without_comments

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "(studio/runtime/[\w/-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const|let)) (\w+)", re.MULTILINE)
_AS = re.compile(r"(\w+) as (\w+)")
ENTRY = "studio/runtime/model.js"
# What figures use besides models.
FACE = {"loadModel": ENTRY, "Lstm": "studio/runtime/lstm.js", "tracksOf": "studio/runtime/lstm.js"}
FACE |= {"stateBefore": "studio/runtime/states.js", "StudioError": "studio/runtime/errors.js"}


def classic() -> str:
    """Return a script that puts the runtime into ``window.courseRuntime``."""
    sources = {f"studio/{name}": assets.text(name) for name in assets.names(".js") if name.startswith("runtime/")}
    defined = "\n".join(
        f'  "{name}": function (require, exports) {{\n{_wrapped(text)}\n  }},' for name, text in sources.items()
    )
    face = ", ".join(f'{name}: require("{path}").{name}' for name, path in FACE.items())
    return f"""window.courseRuntime = (function () {{
"use strict";
const parts = {{
{defined}
}};
const made = {{}};
const require = (name) => {{
  if (made[name] === undefined) parts[name](require, (made[name] = {{}}));
  return made[name];
}};
return {{ {face} }};
}})();
"""


def _wrapped(source: str) -> str:
    """Turn a module into the body of a function; its exports are passed on at its end."""
    lean = without_comments(source)
    body = _IMPORT.sub(lambda match: "const " + _AS.sub(r"\1: \2", match[1]) + f' = require("{match[2]}");', lean)
    names = [match[2] for match in _EXPORT.finditer(body)]
    body = _EXPORT.sub(r"\1 \2", body)
    assert not re.search(r"^(import|export)\b", body, re.MULTILINE), (
        "a module is written in a way that is not read here"
    )
    return f"{body}\nObject.assign(exports, {{ {', '.join(names)} }});"
