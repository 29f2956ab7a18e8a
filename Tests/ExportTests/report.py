#!/usr/bin/env python3
"""Opens a page that `ckprov-log report` wrote in headless Chromium, and uses it: filters, keys, clicks, zoom, print. Needs selenium, chromium and chromedriver.

    report.py PAGE SESSION.json [SCREENSHOT_PREFIX]      SESSION.json is the Session JSON of what the page shows

Prints what is not as it should be, and as its last line "ok, N checks"; exit code 1 otherwise.
"""
import json
import shutil
import sys
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


def shown(text):
    """What a browser gives back of a text."""
    return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in text)


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
            driver.execute_script("const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'))", part, shown(value))
            if shown(value) == value:
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
                    check(f"details {key}", shown(whole[key]) in details)
            cells = driver.execute_script("return [...document.querySelectorAll('#details tbody tr')].map(row => [row.className, ...[...row.cells].map(cell => cell.textContent.toWellFormed())])")
            paths = {row[1]: row for row in cells}
            for key, value in whole["before_state"].items():
                if isinstance(value, str) and shown(key) in paths:
                    check(f"before {key}", paths[shown(key)][2], shown(value))
                    check(f"same {key}", paths[shown(key)][0] == "same", whole["after_state"].get(key) == value)
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
        check("printed", len(driver.find_elements(By.CSS_SELECTOR, "#print tr")), min(5000, len(actions)) + 1)
        driver.execute_script("dispatchEvent(new Event('afterprint'))")

        # How long the page keeps a person waiting, for who asks: a whole filtering, and a screen of rows.
        costs = driver.execute_script("""const cost = [];
          for (const act of [filter, drawRows]) { const begin = performance.now(); for (let round = 0; round < 5; round++) act(); cost.push((performance.now() - begin) / 5); }
          return cost""")
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
