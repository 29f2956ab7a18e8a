#!/usr/bin/env python3
"""Opens a page that `ckprov-log report` wrote in headless Chromium, and uses it: filters, keys, clicks, zoom, print. Then the same page with a few actions of its
own, made to be hard to show. Needs selenium, chromium and chromedriver.

    report.py PAGE SESSION.json [SCREENSHOT_PREFIX]      SESSION.json is the Session JSON of what the page shows

Prints what is not as it should be, and as its last line "ok, N checks"; exit code 1 otherwise.
"""
import json
import re
import shutil
import sys
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

KNOWN = ["verified", "failed", "retry", "skipped"]
problems, checks = [], 0


def check(what, found, wanted=True):
    global checks
    checks += 1
    if found != wanted:
        problems.append(f"{what}: {found!r} instead of {wanted!r}")


def kind(action):
    return action["outcome"] if action["outcome"] in KNOWN else "other"


def passed(text):
    """What a browser gives back of a text."""
    return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in text)


def shown(text, lines=False):
    """How the page shows a text: what steers the eye as escapes; line ends and tabs, too, but where there is room for `lines`."""
    steering = r"[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
    return re.sub(steering, lambda m: m[0] if lines and m[0] in "\n\t" else f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", passed(text))


# Text in every part of an action, that is searched for below; directions that would spill; a clock set back by 1026 years; an attempt beyond 2^53.
TURNED = "ab\u202edc\u2066ef\x1b[2J\x85\u200f"
HARD = [
    {"action_type": "first", "note": "note " * 100},
    {"action_type": "deploy.apply", "outcome": "retry", "attempt": 3, "intent": {"Größe": {"in": ["日本語", 1.5]}}, "evidence": {"e": 'sagt "Übermaß"', "n": float("nan")},
     "before_state": {"Ärger": "früher", "same": "gleich", "typed": 1, "": "empty"}, "after_state": {"Ärger": "später", "same": "gleich", "typed": "1", "": "key"}},
    {"action_type": TURNED, "outcome": TURNED, "kernel": TURNED, "note": TURNED + "\nline", "via_edge": TURNED, "intent": {TURNED: TURNED}, "after_state": {TURNED: TURNED}},
    {"action_type": "back", "generated_at": "1000-01-01T00:00:00.000001Z", "note": "שלום ab"},
    {"action_type": "again", "outcome": "failed", "attempt": 9007199254740993},
    {"action_type": "", "kernel": ""},
]


def hard_page(page):
    """`page` with the actions `HARD` in place of its own."""
    session = {"session_id": "s", "label": TURNED, "urn": "u", "kernel_action": TURNED, "started_at": "2026-01-02T03:04:05.000000Z", "ended_at": None, "duration_ms": None,
               "outcome": "", "was_associated_with": "ckp://Kernel#K:v1.0", "kernels_involved": [TURNED, "second"]}

    def parts(seq, action):
        states = [json.dumps(action[key], separators=(",", ":")) if key in action else None for key in ("intent", "evidence", "before_state", "after_state")]
        return [seq, action.get("generated_at", f"2026-01-02T03:04:0{seq}.000000Z"), action["action_type"], action.get("outcome", "verified"), action.get("kernel", "k"),
                action.get("via_edge"), action.get("attempt", 1), action.get("note", ""), None, f"urn:{seq}", *states]

    data = json.dumps({"session": session, "actions": [parts(seq, action) for seq, action in enumerate(HARD, 5)]}).replace("<", "\\u003c")
    with open(page, "rb") as file:
        before, rest = file.read().split(b'<script type="application/json" id="data">')
    return before + b'<script type="application/json" id="data">' + data.encode() + rest[rest.index(b"</script>"):]


def hard(driver, page, save):
    script = driver.execute_script
    with tempfile.TemporaryDirectory() as directory:
        with open(directory + "/page.html", "wb") as file:
            file.write(hard_page(page))
        driver.get(f"file://{directory}/page.html")

        def text(css):
            return script("return document.querySelector(arguments[0]).textContent", css)

        def cells(seq):
            return script("return [...document.querySelectorAll('.row')].find(row => row.children[0].textContent === arguments[0])?.children", str(seq))

        def found(wanted):
            return script("""const field = document.getElementById('text'), shownNow = [];
              state.text = arguments[0]; filter(); for (const index of shown) shownNow.push(Number(actions[index][SEQ])); state.text = ""; filter(); return shownNow""", wanted)

        # What is seen is found, whatever its case; what is only JSON's is not.
        for wanted, seqs in (("größe", [6]), ("GRÖSSE", []), ("日本", [6]), ("übermaß", [6]), ("ÄRGER", [6]), ("FRÜHER", [6]), ("später", [6]), ("1.5", [6]), ("nan", [6]),
                             ('sagt "über', [6]), ("NOTE NOTE", [5]), ("שלום", [8]), ("\\u202e", [7]), (TURNED, [7]), ('"', [6]), ("{", []), ("[1", []), ('":', []), ("\\u00f6", []), ("\\\"", [])):
            check(f"found {wanted}", found(wanted), seqs)
        # The same through the field.
        script("document.getElementById('text').focus()")
        script("document.activeElement.value = 'Übermaß'; document.activeElement.dispatchEvent(new Event('input'))")
        for _ in range(100):
            if text("#count").split()[0] != "1":
                time.sleep(.1)
        check("found by field", text("#count").split()[0], "1")
        driver.find_element(By.ID, "reset").click()

        # An empty text is chosen like any other.
        for name in ("type", "kernel"):
            check(f"empty {name}", script("""const select = document.getElementById(arguments[0]), place = [...select.options].findIndex(option => option.text === "\u2068\u2069 (1)");
              select.selectedIndex = place; select.dispatchEvent(new Event("change")); return [...shown].map(index => Number(actions[index][SEQ]))""", name), [10])
            driver.find_element(By.ID, "reset").click()
            check(f"all after {name}", text("#count"), f"{len(HARD)} actions")

        # Nothing steers the eye, nothing runs on into what is beside it.
        steering = "/[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066\\u2067]/.test(document.body.innerText + document.title)"
        for index, action in enumerate(HARD):
            script("choose(arguments[0])", index)
            check(f"steered by {index}", script("return " + steering), False)
            check(f"not isolated in {index}", script("""const loose = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
              for (let node; node = walker.nextNode();)
                if (/[^\\0-\\x7f✓✗↻–◐↑↓]|\\\\u202e/.test(node.data) && !["SCRIPT", "OPTION"].includes(node.parentNode.tagName) &&
                  !["isolate", "isolate-override", "plaintext"].includes(getComputedStyle(node.parentNode).unicodeBidi)) loose.push(node.data);
              return loose"""), [])
        check("options are isolated", script("return [...document.querySelectorAll('#type option, #kernel option')].slice(1).every(o => o.value === '' || /^\u2068[^]*\u2069 \\(\\d+\\)$/.test(o.text))"))
        script("choose(2)")
        row = [cell.get_attribute("textContent") for cell in cells(7)]
        check("turned row", [row[3], row[4], row[5], row[6]], ["? " + shown(TURNED), shown(TURNED), shown(TURNED), shown(TURNED + "\nline")])
        check("turned note", shown(TURNED + "\nline", lines=True) in text("#details dl"))
        check("turned state", script("return [...document.querySelectorAll('#details td')].map(cell => cell.textContent)"), [shown(TURNED), "", shown(TURNED)])
        check("turned intent", text("#details pre"), '{\n  "%s": "%s"\n}' % ((shown(TURNED).replace("\\x", "\\u00"),) * 2))
        check("turned title", [text("#title"), script("return document.title")], [shown(TURNED)] * 2)
        save("hard")

        # Times that go backwards have one sign.
        script("choose(3)")
        gaps = [cells(seq)[2].get_attribute("textContent") for seq in (6, 8, 9)]
        check("gaps", [gaps[0], gaps[1][:1], gaps[2][:1], gaps[1].count("+")], ["+1.000 s", "-", "+", 0])
        check("gap in the details", "since the last" + gaps[1] in text("#details dl"))

        # An attempt is exact, and in sight.
        script("choose(-1)")
        for seq, attempt in ((6, " (attempt 3)"), (9, " (attempt 9007199254740993)")):
            check(f"attempt of {seq}", cells(seq)[3].get_attribute("textContent").endswith(attempt))
            check(f"attempt of {seq} in sight", script("return [arguments[0], ...arguments[0].querySelectorAll('*')].every(part => part.scrollWidth <= part.clientWidth + 1 || getComputedStyle(part).display === 'inline')", cells(seq)[3]))

        # Printed: a state's changes below its action; what is short keeps its words.
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False})
        script("dispatchEvent(new Event('beforeprint'))")
        lines = script("return [...document.querySelectorAll('#print > table > tbody > tr')].map(row => [row.className.split(' ')[0], [...row.querySelectorAll('table > tbody > tr')].map(r => [...r.cells].map(cell => cell.textContent))])")
        check("printed rows", [line[0] for line in lines], ["action", "action", "states", "action", "states", "action", "action", "action"])
        check("printed changes", lines[2][1] if len(lines) > 2 else None, [["Ärger", "früher", "später"], ["typed", "1", '"1"'], ["", "empty", "key"], ["1 more the same"]])
        check("printed attempt", "(attempt 9007199254740993)" in text("#print"))
        broken = script("""const broken = [];
          for (const row of document.querySelectorAll('#print > table > tbody > tr'))
            if (row.cells.length === 6) for (const cell of [...row.cells].slice(0, 5)) {
              const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
              for (let node; node = walker.nextNode();)
                for (const word of node.data.matchAll(/[^\\s-]+/g)) {
                  const range = document.createRange();
                  range.setStart(node, word.index);
                  range.setEnd(node, word.index + word[0].length);
                  if (word[0].length <= 12 && new Set([...range.getClientRects()].map(rect => Math.round(rect.top))).size > 1) broken.push(word[0]);
                }
            }
          return broken""")
        check("words broken in print", broken, [])
        check("print fits", script("return document.documentElement.scrollWidth <= 718"))
        check("steered in print", script("return " + steering), False)
        save("print")
        script("dispatchEvent(new Event('afterprint'))")
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def main(page, view, prefix=None):
    with open(view, "rb") as file:
        session = json.loads(file.read())
    actions = session["actions"]
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,800", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = shutil.which("chromium")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        start = time.monotonic()
        driver.get("file://" + page)
        loaded = time.monotonic() - start

        def text(css):
            return driver.execute_script("return document.querySelector(arguments[0]).textContent.toWellFormed()", css)

        def count():
            return int(text("#count").split()[0])

        def rows():
            return driver.execute_script("return [...document.querySelectorAll('.row')].map(row => [...row.children].map(cell => cell.textContent.toWellFormed()))")

        def press(*keys):
            ActionChains(driver).send_keys(*keys).perform()

        def save(name):
            if prefix:
                driver.save_screenshot(f"{prefix}-{name}.png")

        check("alert", driver.execute_script("return window.wasAttacked === undefined"))
        check("title", text("#title"), shown(session["label"] or session["session_id"]))
        check("count", count(), len(actions))
        first = rows()[0]
        check("first row", [first[0], first[3].split(" ", 1)[1].split(" (attempt")[0], first[4]],
              [str(actions[0]["seq"]), shown(actions[0]["outcome"]), shown(actions[0]["action_type"])])
        check("rows that exist", len(rows()) <= 60)
        save("light")

        # The keys work from the start, when nothing has the focus: to a row and its details, and into the timeline around it.
        press("j", Keys.ENTER)
        check("details have the focus", driver.switch_to.active_element.get_attribute("id"), "details")
        driver.execute_script("choose(arguments[0])", len(actions) - 1)
        press(*"++++")
        check("zoomed around the chosen", driver.execute_script("return times[state.chosen] >= state.from && times[state.chosen] <= state.to && state.to - state.from < last - first"))
        press("0", Keys.ESCAPE)
        driver.execute_script("document.activeElement.blur()")

        # Outcomes can be hidden, one by one.
        for outcome in [*KNOWN, "other"]:
            of_it = sum(kind(action) == outcome for action in actions)
            buttons = driver.find_elements(By.ID, "outcome-" + outcome)
            check(f"button {outcome}", bool(buttons), of_it > 0)
            if buttons:
                buttons[0].click()
                check(f"without {outcome}", count(), len(actions) - of_it)
                check(f"pressed {outcome}", buttons[0].get_attribute("aria-pressed"), "false")
                buttons[0].click()

        # Types and kernels.
        for part, key in (("type", "action_type"), ("kernel", "kernel")):
            value = actions[len(actions) // 2][key]
            driver.execute_script("const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'))", part, "=" + passed(value))
            if passed(value) == value:
                check(f"one {part}", count(), sum(action[key] == value for action in actions))
            driver.find_element(By.ID, "reset").click()

        # Search by text, from the keyboard.
        note = next((action["note"] for action in actions if len(action["note"]) > 3 and action["note"].isascii() and action["note"].isalnum()), None)
        if note:
            press("/")
            check("search has the focus", driver.switch_to.active_element.get_attribute("id"), "text")
            press(note)
            least = sum(note.lower() in action["note"].lower() for action in actions)
            check("found", least <= count() <= len(actions))
            press("no such text")
            # The page waits for the end of the typing.
            for _ in range(100):
                if count() > 0:
                    time.sleep(.1)
            check("found no more", count(), 0)
            press(Keys.ESCAPE)
            driver.find_element(By.ID, "reset").click()
        check("after reset", count(), len(actions))

        # Choosing by keys and by click.
        driver.find_element(By.ID, "list").click()
        press(Keys.ESCAPE)
        press(Keys.END)
        check("last one first", text("#details h2").split()[0], str(actions[-1]["seq"]))
        press(Keys.ESCAPE, Keys.HOME)
        check("first one first", text("#details h2").split()[0], str(actions[0]["seq"]))
        # Who has gone to the details scrolls them, and stays with the action.
        driver.execute_script("document.getElementById('details').append(Object.assign(document.createElement('p'), { id: 'tall', style: 'height: 5000px' }))")
        press(Keys.ENTER, Keys.END)
        for _ in range(100):
            if driver.execute_script("return document.getElementById('details').scrollTop") == 0:
                time.sleep(.1)
        check("details scroll", driver.execute_script("return document.getElementById('details').scrollTop") > 0)
        check("still chosen", text("#details h2").split()[0], str(actions[0]["seq"]))
        driver.find_element(By.ID, "list").click()
        press(Keys.ESCAPE)
        press("j", "j")
        place = min(1, len(actions) - 1)
        check("chosen", text("#details h2").split()[0], str(actions[place]["seq"]))
        press("k")
        check("chosen above", text("#details h2").split()[0], str(actions[0]["seq"]))
        press(Keys.END)
        check("chosen last", text("#details h2").split()[0], str(actions[-1]["seq"]))
        check("last row is in sight", rows()[-1][0], str(actions[-1]["seq"]))
        press(Keys.HOME)
        failed = [action for action in actions if action["outcome"] == "failed"]
        if failed:
            press(Keys.ESCAPE, "f")
            check("next failure", text("#details h2").split()[0], str(failed[0]["seq"]))
        # Rows come and go with the scrolling; the list stays.
        driver.find_element(By.ID, "list").click()
        check("clicked", bool(text("#details h2")))
        press(Keys.ESCAPE)
        check("closed", text("#details"), "")

        # All that is known of an action with both states.
        whole = next((action for action in actions if action.get("before_state") and action.get("after_state")), None)
        if whole:
            driver.execute_script("choose(arguments[0])", actions.index(whole))
            details = text("#details")
            for key in ("kernel", "generated_at", "urn", "note", "diff_summary"):
                if whole.get(key):
                    check(f"details {key}", shown(whole[key], lines=True) in details)
            cells = driver.execute_script("return [...document.querySelectorAll('#details tbody tr')].map(row => [row.className, ...[...row.cells].map(cell => cell.textContent.toWellFormed())])")
            paths = {row[1]: row for row in cells}
            for key, value in whole["before_state"].items():
                if isinstance(value, str) and shown(key, lines=True) in paths:
                    check(f"before {key}", paths[shown(key, lines=True)][2], shown(value, lines=True))
                    check(f"same {key}", paths[shown(key, lines=True)][0] == "same", whole["after_state"].get(key) == value)
            save("details")

        # Every payload can be shown.
        for index in range(min(len(actions), 60)):
            driver.execute_script("choose(arguments[0])", index)
            check("payload", text("#details h2").split()[0], str(actions[index]["seq"]))

        # Zoom, and back.
        canvas = driver.find_element(By.ID, "timeline")
        ActionChains(driver).drag_and_drop_by_offset(canvas, 200, 0).perform()
        check("zoomed", count() <= len(actions))
        driver.execute_script("document.getElementById('timeline').focus()")
        press("-", "+", Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
        save("zoomed")
        press("0")
        check("all again", count(), len(actions))

        driver.find_element(By.ID, "theme").click()
        save("dark")
        check("dark", driver.execute_script("return getComputedStyle(document.body).backgroundColor"), "rgb(22, 24, 29)")
        driver.find_element(By.ID, "theme").click()
        check("light", driver.execute_script("return getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")

        driver.execute_script("dispatchEvent(new Event('beforeprint'))")
        printed = actions[:5000]
        check("printed", len(driver.find_elements(By.CSS_SELECTOR, "#print tr.action")), len(printed))
        with_states = sum(action.get("before_state") is not None or action.get("after_state") is not None for action in printed)
        check("printed states", len(driver.find_elements(By.CSS_SELECTOR, "#print tr.action + tr.states")), with_states)
        driver.execute_script("dispatchEvent(new Event('afterprint'))")

        # How long the page keeps a person waiting, for who asks: a whole filtering, and a screen of rows.
        costs = driver.execute_script("""const cost = [];
          for (const act of [filter, drawRows]) { const begin = performance.now(); for (let round = 0; round < 5; round++) act(); cost.push((performance.now() - begin) / 5); }
          return cost""")
        hard(driver, page, save)
        check("still whole", driver.execute_script("return window.wasAttacked === undefined && document.scripts.length === 2 && !document.images.length"))
        for entry in driver.get_log("browser"):
            problems.append(f"console: {entry['message']}")
    finally:
        driver.quit()
    for problem in problems:
        print(ascii(problem)[:2000])
    print(f"{'ok' if not problems else 'NOT OK'}, {checks} checks; {len(actions)} actions: loaded {loaded:.2f} s, filtered {costs[0]:.1f} ms, drawn {costs[1]:.1f} ms")
    return bool(problems)


sys.exit(main(*sys.argv[1:]))
