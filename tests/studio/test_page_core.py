"""The foundations of the page: its state, the address, number input, colours, files, orders and tables."""

from typing import Any

import pytest

from hiddenstate.studio import messages
from studio.browsing import NEEDS_CHROMIUM
from studio.chromium import Modules

pytestmark = NEEDS_CHROMIUM

VIEW = """
    const { plainView } = await import("studio/state/view.js");
    const first = plainView({ models: [{ id: "m" }] });
"""
STORE = 'const { createStore } = await import("studio/state/store.js");' + VIEW
ADDRESS = 'const { fromHash, toHash } = await import("studio/state/address.js");' + VIEW


def run(page: Modules, body: str, given: object = None) -> Any:
    return page.run(f"async (given) => {{ {body} }}", given)


def test_store_tells_once_and_those_who_asked(page: Modules) -> None:
    told = run(
        page,
        STORE
        + """
        const store = createStore(first);
        const told = [];
        store.subscribe(["step"], (view, previous) => told.push(["step", previous.step, view.step]));
        store.subscribe(["unit", "step"], () => told.push(["both"]));
        const forget = store.subscribe(["text"], () => told.push(["text"]));
        store.set({ step: 1 });
        store.set({ step: 2, unit: 7 });
        const before = told.length;
        await null;
        forget();
        store.set({ text: "x" });
        store.set({ step: 2 });
        store.flush();
        return { before, told, frozen: Object.isFrozen(store.get()) };
        """,
    )
    assert told == {"before": 0, "told": [["step", 0, 2], ["both"]], "frozen": True}


def test_store_undoes_and_redoes(page: Modules) -> None:
    found = run(
        page,
        STORE
        + """
        const store = createStore(first);
        const seen = [];
        const { effect } = await import("@preact/signals");
        effect(() => void seen.push([store.canUndo, store.canRedo, store.undoLabel]));
        store.change({ pinned: [3] }, "pin unit 3");
        store.set({ step: 5 });
        store.change({ pinned: [3, 4] }, "pin unit 4");
        store.undo();
        const once = [store.get().pinned, store.get().step];
        store.undo();
        store.redo();
        return { once, then: store.get().pinned, seen };
        """,
    )
    assert found["once"] == [[3], 5]  # values set without history stay
    assert found["then"] == [3]
    assert found["seen"][-3:] == [[True, True, "pin unit 3"], [False, True, ""], [True, True, "pin unit 3"]]


def test_store_undoes_fails(page: Modules) -> None:
    nothing = "const store = createStore(first); store.undo(); store.redo(); store.change({ step: 0 }, 'nothing');"
    assert run(page, STORE + nothing + "return [store.canUndo, store.get().step];") == [False, 0]


VIEWS: list[dict[str, Any]] = [
    {"text": "She said: “no”, 50 % & more #1 + é戦\n", "step": 3, "unit": 203, "track": "l1r", "quantity": "f"},
    {"pinned": [12, 203], "sort": "tag:NOUN", "head": "upos", "zoom": "gate", "gate": "o", "page": "structure"},
    {"otherText": "a b", "otherModel": "other model", "comparison": "edits", "align": "position", "theme": "dark"},
    {"tour": 3, "rows": "-f12", "filter": "probability<0.6 NOUN"},
    {
        "edits": [
            {"place": "l1.f", "kind": "set", "value": 0, "unit": [203, 5], "t": [4], "scope": "write"},
            {"place": "l0r.g_pre", "kind": "scale", "value": -1.5e-7, "unit": None, "t": None, "scope": "readout"},
            {"place": "l0.c", "kind": "add", "value": 2.5, "unit": None, "t": [0, 1], "scope": "write"},
        ]
    },
]


@pytest.mark.parametrize("view", VIEWS)
def test_address_holds_the_view(page: Modules, view: dict[str, Any]) -> None:
    body = ADDRESS + "const hash = toHash({ ...first, ...given }, [first]); return { hash, ...fromHash(`#${hash}`) };"
    found = run(page, body, view)
    assert found["view"] == view
    assert found["broken"] == []


def test_address_is_short(page: Modules) -> None:
    edit = {"place": "l1.f", "kind": "set", "value": 0, "unit": [203], "t": [4], "scope": "write"}
    body = ADDRESS + "return [toHash(first, [first]), toHash({ ...first, ...given }, [first])];"
    nothing, some = run(page, body, {"text": "She said", "step": 4, "pinned": [1, 2], "edits": [edit]})
    assert nothing == ""
    assert some == "text=She+said&step=4&pin=1,2&edit=l1.f:set:0:u203:t4"


def test_address_says_what_any_page_may_begin_with_otherwise(page: Modules) -> None:
    body = ADDRESS + "return toHash({ ...first, step: 0 }, [first, { ...first, step: 7 }]);"
    assert run(page, body) == "step=0"


def test_what_a_page_begins_with(page: Modules) -> None:
    body = """
        const { firstView } = await import("studio/state/view.js");
        const boot = { models: [{ id: "m" }], view: { text: "by Python", pinned: [4], step: 2 } };
        return [{}, { step: 1 }, { text: "by hand" }].map((said) => firstView(boot, said));
    """
    views = run(page, body)
    assert [(view["text"], view["pinned"], view["step"]) for view in views] == [
        ("by Python", [4], 2),
        ("by Python", [], 1),  # an address has everything but the text that is read
        ("by hand", [], 0),
    ]


def test_python_knows_the_same_view(page: Modules) -> None:
    view = run(page, VIEW + "return first")
    assert set(view) == set(messages.VIEW)
    messages.check_view(view)


BROKEN = [
    "step=-1",
    "step=1e3",
    "unit=99999999999",
    "page=nowhere",
    "track=l0;drop",
    "pin=1,x",
    "edit=l1.f:set:NaN",
    "edit=l1.f:push:1",
    "edit=../x:set:1",
    "edit=l1.f:set:1:u:t1",
    "edit=l1.f:set:1:readout:more",
    "theme=pink",
    "sort=tag:",
    "zoom=__proto__",
    "constructor=1",
    "%E0%A4%A=1",
    "text=" + "a" * 30000,
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda text: text[:20])
def test_address_fails(page: Modules, broken: str) -> None:
    found = run(page, ADDRESS + "return fromHash(`#quantity-less&${given}&step=2&show=h`);", broken)
    assert found["view"] == {"step": 2, "quantity": "h"}  # readable parts are used
    assert len(found["broken"]) == 2


INPUT = 'const { parseRows } = await import("studio/state/input.js");'


def test_signals(page: Modules) -> None:
    body = INPUT + "return given.map((text) => parseRows(text, 2).map((row) => [...row]));"
    impulse, step, noise, again, other, rows = run(
        page, body, ["impulse 4", "step 4", "noise 9 7", "noise 9 7", "noise 9 8", " 1, -2.5\n3;4e1 \n"]
    )
    assert impulse == [[0, 0], [1, 1], [0, 0], [0, 0]]
    assert step == [[0, 0], [1, 1], [1, 1], [1, 1]]
    assert noise == again != other
    assert len(noise) == 9
    assert rows == [[1, -2.5], [3, 40]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1, 2\n3", 'row 2 is "3": expected 2 numbers'),
        ("1, x", "expected 2 numbers"),
        ("1,,2", "expected 2 numbers"),
        ("Infinity 1", "expected 2 numbers"),
        ("hello", "expected 2 numbers"),
        ("1 2\n" * 2001, "2001 rows: expected at most 2000"),
    ],
    ids=str.split,
)
def test_signals_fail(page: Modules, text: str, complaint: str) -> None:
    assert complaint in run(page, INPUT + "try { parseRows(given, 2) } catch (error) { return error.message }", text)


SCALES = (
    'const scales = await import("studio/ui/scales.js"); const { applyTheme } = await import("studio/ui/theme.js");'
)


def luminance(rgb: list[int]) -> float:
    return sum(part * weight for part, weight in zip(rgb, (0.2126, 0.7152, 0.0722), strict=True))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_scales(page: Modules, theme: str) -> None:
    body = """
        applyTheme(given);
        const at = (quantity) => [-1, 0, 0.25, 0.5, 1, 9].map((value) => scales.rgb(quantity, value));
        return [at("f"), at("h"), scales.colour("f", 1)];
    """
    gates, states, colour = run(page, SCALES + body, theme)
    lights = [luminance(rgb) for rgb in gates[1:5]]
    assert lights == sorted(lights)
    assert lights[-1] - lights[0] > 100
    assert gates[0] == gates[1]
    assert gates[5] == gates[4]  # beyond the ends, the colour of the end
    assert colour == f"rgb({', '.join(map(str, gates[4]))})"
    low, middle, high = states[0], states[1], states[4]
    assert low[2] > low[0]  # blue
    assert high[0] > high[2]  # orange
    assert (luminance(middle) > 200) == (theme == "light")


def test_scale_of_the_cell_is_that_of_the_run(page: Modules) -> None:
    body = """
        const ranges = await import("studio/state/ranges.js");
        const run = (c) => ({ tracks: [{ values: { c: Float32Array.from(c) } }] });
        const ends = (...runs) => (ranges.fitStates(runs), ranges.range("c")[1]);
        return [ends(run([0.2])), ends(run([-1.2])), ends(run([3.5]), null), ends(run([0]), run([4.2])),
          ends(run([55]))];
    """
    assert run(page, body) == [1, 1.5, 4, 5, 60]


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("word", "word"),
        ("", "\u2205"),
        (" ", "\u2423"),
        ("\n\n", "\u23ce\u23ce"),
        ("a\nb", "a\u23ceb"),
        ("\ufe0f", "U+FE0F"),
        ("\u200b", "U+200B"),
        ("\u200d\ufe0f", "U+200DU+FE0F"),
        ("\u00a0", "U+00A0"),
        ("\U000e0100", "U+E0100"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("\u6226", "\u6226"),
    ],
)
def test_tokens_are_seen(page: Modules, token: str, shown: str) -> None:
    body = "return (await import('studio/state/run.js')).shownToken(given)"
    assert page.run(f"async (given) => {{ {body} }}", token) == shown


def test_csv(page: Modules) -> None:
    body = 'const { csv } = await import("studio/ui/export.js"); return csv(given);'
    assert (
        run(page, body, [["a", "b,c", 'say "x"'], [" d", "e\nf", "戦"]]) == 'a,"b,c","say ""x"""\r\n" d","e\nf",戦\r\n'
    )


def test_svg_stands_alone(page: Modules) -> None:
    body = """
        const { svgText } = await import("studio/ui/export.js");
        const { still } = await import("studio/ui/app.js");
        const { jsx } = await import("preact/jsx-runtime");
        const style = document.createElement("style");
        style.textContent = ":root { --hot: #123456 } .word { fill: var(--hot); font: 700 13px serif }";
        document.head.append(style);
        const text = jsx("text", { class: "word", x: 1, y: 2, children: "<script>alert(1)</script> & more" });
        const group = jsx("g", { transform: "translate(3 4)", children: text });
        return svgText(still(jsx("svg", { width: 30, height: 20, children: group })));
    """
    text = run(page, body)
    assert 'xmlns="http://www.w3.org/2000/svg"' in text
    assert 'fill="rgb(18, 52, 86)"' in text
    assert 'font-size="13px"' in text
    assert 'transform="translate(3 4)"' in text
    assert "&lt;script&gt;" in text
    assert "var(" not in text
    assert "class=" not in text


def test_a_picture_for_a_file_follows_nothing_afterwards(page: Modules) -> None:
    body = """
        const { still } = await import("studio/ui/app.js");
        const { jsx } = await import("preact/jsx-runtime");
        const { signal } = await import("@preact/signals");
        const [shown, drawn] = [signal(1), []];
        const Picture = () => (drawn.push(shown.value), jsx("svg", { children: jsx("text", { children: shown }) }));
        const picture = still(jsx(Picture, {}));
        shown.value = 2;
        await new Promise((done) => setTimeout(done, 100));
        return [picture.outerHTML, drawn, still(null)];
    """
    assert run(page, body) == ["<svg><text>1</text></svg>", [1], None]


def test_orders(page: Modules) -> None:
    body = """
        const { byLikeness, correlations } = await import("studio/panels/heatmap/order.js");
        const { meanChanges } = await import("studio/state/run.js");
        const rows = given.map((row) => Float64Array.from(row));
        const h = Float64Array.from(given[0].flatMap((_, t) => given.map((row) => row[t])));
        const changes = meanChanges({ info: { outputs: rows.length }, values: { h } }, "h");
        return [byLikeness(rows), [...changes], [...correlations(rows, Float64Array.from([0, 1, 0, 1]))]];
    """
    rows = [[0, 1, 0, 1], [0, 0, 1, 1], [1, 0, 1, 0], [0, 2, 0, 2], [0.1, 0, 0.9, 1], [5, 5, 5, 5]]
    likeness, changes, correlations = run(page, body, rows)
    assert sorted(likeness) == list(range(6))
    assert abs(likeness.index(0) - likeness.index(3)) == 1
    assert abs(likeness.index(1) - likeness.index(4)) == 1
    assert changes == pytest.approx([1, 1 / 3, 1, 2, (0.1 + 0.9 + 0.1) / 3, 0])
    assert correlations[:4] == pytest.approx([1, 0, -1, 1], abs=1e-9)
    assert correlations[5] == 0  # a constant correlates with nothing


def test_orders_fail(page: Modules) -> None:
    body = """
        const { byLikeness } = await import("studio/panels/heatmap/order.js");
        return byLikeness(given.map((row) => Float64Array.from(row)));
    """
    assert run(page, body, []) == []
    assert run(page, body, [[None], [None], [None]]) is not None  # NaN gives some order, and no error


TABLE = """
    const { filterExample, sortedRows, tableColumns } = await import("studio/panels/table/index.js");
    const numbers = (k) => Float32Array.from([0, 1, 2, 3, 4, 5].map((value) => value / 8 + k));
    const values = Object.fromEntries([..."ifgoch"].map((name, k) => [name, numbers(k)]));
    const track = { info: { name: "l0", units: 2, outputs: 2 }, values };
    const probabilities = Float32Array.from([0.75, 0.25, 0.5, 0.5, 0, 1]);
    const head = { name: "upos", labels: ["DET", "NOUN"], chosen: Int32Array.from([0, 1, 1]), probabilities };
    const { tokens = ["the", "cat", "naps"], heads = [head], surprise = null } = given;
    const run = { tokens, steps: 3, tracks: [track], heads, surprise };
    const session = { run, model: { quantities: [..."ifgoch"] } };
    const view = { track: "l0", unit: 0, pinned: [1], head: "upos", rows: "step", filter: "", ...given };
    const columns = tableColumns(session, view);
    const [keys, steps] = [columns.map((c) => c.key), sortedRows(columns, session, view).map((r) => r.step)];
    return { keys, steps, example: filterExample(columns, session, view) };
"""


@pytest.mark.parametrize(
    ("view", "steps"),
    [
        ({}, [0, 1, 2]),
        ({"rows": "-probability"}, [2, 0, 1]),
        ({"rows": "token"}, [1, 2, 0]),
        ({"rows": "-f1"}, [2, 1, 0]),
        ({"rows": "nothing"}, [0, 1, 2]),
        ({"filter": "noun"}, [1, 2]),
        ({"filter": "NOUN probability<0.6"}, [1]),
        ({"filter": "f1>1.3"}, [1, 2]),
        ({"filter": "nowhere"}, []),
        ({"filter": "speed>1"}, []),
    ],
    ids=str,
)
def test_table(page: Modules, view: dict[str, Any], steps: list[int]) -> None:
    found = run(page, TABLE, view)
    assert found["keys"] == ["step", "token", "prediction", "probability", "i1", "f1", "g1", "o1", "c1", "h1"]
    assert found["steps"] == steps


@pytest.mark.parametrize(
    ("given", "keys", "example"),
    [
        ({}, ["step", "token", "prediction", "probability"], "NOUN, probability<0.6"),
        ({"surprise": [1, 2, 3]}, ["step", "token", "prediction", "probability", "surprise"], "surprise>3"),
        ({"heads": []}, ["step", "token"], "h1>0.5"),
        ({"heads": [], "tokens": ["0", "1", "2"]}, ["step"], "h1>0.5"),
        ({"heads": [], "tokens": ["1", "2", "3"]}, ["step", "token"], "h1>0.5"),
    ],
    ids=str,
)
def test_table_is_that_of_the_model(page: Modules, given: dict[str, Any], keys: list[str], example: str) -> None:
    found = run(page, TABLE, given)
    assert found["keys"] == [*keys, "i1", "f1", "g1", "o1", "c1", "h1"]
    assert found["example"] == example


def test_layout_of_the_heat_map(page: Modules) -> None:
    body = """
        const { cellAt, heatLayout, rowTop } = await import("studio/panels/heatmap/layout.js");
        const order = Array.from({ length: 100 }, (_, k) => 99 - k);
        const layout = heatLayout({ width: 600, height: 400, steps: 20, pinned: [7, 500], order, longest: 60 });
        const middle = (step, y) => cellAt(layout, layout.left + (step + 0.5) * layout.pitch, y);
        return {
          pinned: layout.pinned, fits: [layout.width <= 600, layout.height <= 401], pin: middle(3, layout.top + 2),
          row: middle(19, rowTop(layout, 42) + layout.rowHeight / 2),
          outside: [middle(20, 200), middle(1, layout.top - 3), middle(2, 1e4)],
        };
    """
    assert run(page, body) == {
        "pinned": [7],
        "fits": [True, True],
        "pin": {"unit": 7, "step": 3},
        "row": {"unit": 42, "step": 19},
        "outside": [None, None, None],
    }


@pytest.mark.parametrize(
    ("steps", "longest", "slanted", "every"),
    [
        (8, 40, False, 1),
        (30, 70, True, 1),
        (45, 70, True, 2),
        (160, 70, True, 5),
        (20, 11, False, 1),
        (160, 11, False, 5),
    ],
)
def test_tokens_of_the_heat_map_keep_apart(page: Modules, steps: int, longest: int, slanted: bool, every: int) -> None:
    body = """
        const { heatLayout } = await import("studio/panels/heatmap/layout.js");
        const layout = heatLayout({ width: 560, height: 400, pinned: [], order: [0, 1], ...given });
        return { slanted: layout.slanted, every: layout.every };
    """
    assert run(page, body, {"steps": steps, "longest": longest}) == {"slanted": slanted, "every": every}


def test_tokens_of_the_lines_keep_apart(page: Modules) -> None:
    body = """
        const { tokenTicks } = await import("studio/panels/lines/index.js");
        const shown = (token, steps) => {
          const made = tokenTicks({ tokens: Array(steps).fill(token), steps }, 600);
          return [made.length, made[0].isSlanted ? "end" : "middle"];
        };
        return [shown("word", 20), shown("word", 100), shown("\u0301a", 20), shown(" ", 20)];
    """
    assert run(page, body) == [[20, "end"], [20, "end"], [20, "end"], [20, "middle"]]
