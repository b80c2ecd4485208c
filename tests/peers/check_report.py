#!/usr/bin/env python3
"""HTML reports in a real browser, headless: no errors, nothing missing.

    check_report.py [FOLDER]

Makes reports of `prune --quantize`, `quantize`, `compare`, `factorize`, `simplify` and `inspect` with --json beside
them, opens each in Chromium, and checks that the console stays silent, that the page asks for nothing from outside,
that every number of the JSON stands in an element `data` of the document, that every text of the JSON is on the page,
and that nothing is wider than a phone. Screenshots (light, dark, phone) go to FOLDER.

Needs Chromium or Chrome (CHROMIUM names one); without it the check is left out, and says so.
"""
import html.parser
import json
import os
import shutil
import subprocess
import sys
import tempfile

from common import DATA, MODELS, ROOT, tool

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Width of a phone in pixels.
PHONE = 390


def browser():
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in BROWSERS if (path := shutil.which(name))), None)


def chromium(program, folder, *arguments):
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
               "--no-first-run", "--disable-background-networking", "--disable-component-update",
               "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0",
               f"--user-data-dir={folder}/profile", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


class Page(html.parser.HTMLParser):
    """The numbers and the text of a document."""

    def __init__(self, text):
        super().__init__()
        self.numbers, self.words, self.tags, self.outside = set(), [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attributes:
            if tag == "data" and name == "value":
                self.numbers.add(float(value))
            if name in ("src", "href", "srcset") and not (value or "").startswith("data:"):
                self.outside.append(value)

    def handle_data(self, text):
        self.words.append(text)


def leaves(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def check(program, folder, name, arguments, keep):
    page = os.path.join(folder, f"{name}.html")
    code, out, err = tool(*arguments, "--report", page, "--json", "-q")
    if code:
        return [f"{name}: {err.strip()[:400]}"]
    report = json.loads(out)
    failures = []
    done = chromium(program, folder, "--dump-dom", f"file://{page}")
    found = Page(done.stdout)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    if console:
        failures.append(f"{name}: the console says: {console[:3]}")
    if found.outside or found.tags.get("script"):
        failures.append(f"{name}: the page asks for {found.outside[:3]}, {found.tags.get('script', 0)} scripts")
    numbers = [leaf for leaf in leaves(report) if isinstance(leaf, (int, float)) and not isinstance(leaf, bool)]
    missing = [number for number in numbers if float(number) not in found.numbers]
    if missing:
        failures.append(f"{name}: {len(missing)} of {len(numbers)} numbers are not on the page: {missing[:5]}")
    words = "\x00".join(found.words)
    texts = [leaf for leaf in leaves(report) if isinstance(leaf, str)]
    lost = [text for text in texts if text not in words]
    if lost:
        failures.append(f"{name}: {len(lost)} of {len(texts)} texts are not on the page: {lost[:5]}")
    for kind, more in (("light", ["--window-size=1200,2400"]),
                       ("dark", ["--window-size=1200,2400", "--blink-settings=preferredColorScheme=0"]),
                       ("phone", [f"--window-size={PHONE},2400"])):
        picture = os.path.join(keep, f"{name}.{kind}.png")
        chromium(program, folder, *more, f"--screenshot={picture}", f"file://{page}")
        if not os.path.exists(picture) or os.path.getsize(picture) < 10_000:
            failures.append(f"{name}: no picture ({kind})")
    wide = too_wide(program, folder, page)
    if wide:
        failures.append(f"{name}: {wide}")
    pictures = found.tags.get("svg", 0)
    print(f"{name:24} {len(numbers):6} numbers, {len(texts):6} texts, {pictures:4} pictures, "
          f"{os.path.getsize(page):,} bytes{'; FAILED' if failures else ''}", flush=True)
    return failures


def too_wide(program, folder, page):
    """Whether a copy of the page that measures itself is wider than a phone."""
    with open(page, encoding="utf-8") as file:
        text = file.read()
    # The copy may run the script that measures, which the page itself must not.
    start = text.index("<meta http-equiv")
    copy = text[:start] + text[text.index(">", text.index("content", start)) + 1:]
    copy = copy.replace("</body>", "<script>document.title = 'WIDTH ' + document.documentElement.scrollWidth + ' ' "
                        "+ document.documentElement.clientWidth;</script></body>")
    path = os.path.join(folder, "phone.html")
    with open(path, "w", encoding="utf-8") as file:
        file.write(copy)
    done = chromium(program, folder, f"--window-size={PHONE},800", "--dump-dom", f"file://{path}")
    titles = [part.split("</title>")[0] for part in done.stdout.split("<title>")[1:]]
    width = [title.split()[1:] for title in titles if title.startswith("WIDTH")]
    if not width:
        return "its width was not found"
    whole, seen = map(int, width[0])
    return f"it is {whole} pixels wide where {seen} are seen" if whole > seen else None


def jobs(folder):
    model = os.path.join(MODELS, "cifar_resnet8_bn.onnx")
    # The images of cifar10_calib.npz are normalised already; these are not.
    calib, test = (os.path.join(DATA, f"cifar10_{part}.npz") for part in ("tune", "test"))
    how = ["--scale", "1/255", "--mean", "0.4914,0.4822,0.4465", "--std", "0.2470,0.2435,0.2616"]
    if not os.path.exists(model):
        model = os.path.join(ROOT, "fixtures", "digits_resnet_bn.onnx")
        calib, test = (os.path.join(ROOT, "fixtures", f"digits_{part}.npz") for part in ("calib", "test"))
        how = ["--scale", "1/16"]
    fewer = ["--samples", "200"]
    out = [os.path.join(folder, f"{i}.onnx") for i in range(5)]
    return {
        "prune_quantize": ["prune", model, "-o", out[0], "--macs", "60%", "--data", calib, "--test", test, "--labels",
                           "y", "--quantize", *how, *fewer],
        "quantize": ["quantize", model, "-o", out[1], "--data", calib, "--test", test, "--labels", "y", "--latency",
                     *how, *fewer],
        "compare": ["compare", model, out[1], "--data", test, "--labels", "y", "--worst", "--layers", "--latency", *how,
                    *fewer],
        "factorize": ["factorize", model, "-o", out[2], "--params", "70%", "--data", calib, "--labels", "y", *how,
                      *fewer],
        "simplify": ["simplify", model, "-o", out[3]],
        "inspect": ["inspect", model, "--channels"],
    }


def main():
    program = browser()
    if not program:
        print("left out: no Chromium or Chrome is installed (CHROMIUM names one)")
        return 0
    keep = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        keep = keep or folder
        os.makedirs(keep, exist_ok=True)
        failures = []
        for name, arguments in jobs(folder).items():
            failures += check(program, folder, name, arguments, keep)
    for failure in failures:
        print("FAILED", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
