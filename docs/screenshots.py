"""The pictures of the documentation: `python -m docs.screenshots`, with Chromium and Pillow."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tinycomp
from tinycomp import on_boards
from tinycomp.battery import Battery
from tinycomp.frontend import load
from tinycomp.target import load_board

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
COLOURS = 96  # enough for flat drawings, and a third of the bytes
_COLOUR_SCHEMES = {False: "1", True: "0"}  # Blink's numbers of light and dark


@dataclass(frozen=True)
class Shot:
    """A picture: which page, from which heading on (its id), how wide and high in pixels, light or dark."""

    page: str
    heading: str
    width: int
    height: int
    dark: bool = False


SHOTS: Mapping[str, Shot] = {
    "report.png": Shot("report", "", 1000, 700),
    "memory.png": Shot("report", "memory", 1000, 730, dark=True),
    "phone.png": Shot("report", "", 500, 760),
    "boards.png": Shot("boards", "", 1000, 460),
}


def flags(folder: Path, *, dark: bool = False) -> list[str]:
    """Chromium without a window, its profile in the folder, that prefers that colour scheme."""
    return [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
            f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={_COLOUR_SCHEMES[dark]}",
            "--virtual-time-budget=3000"]  # fmt: skip


def pages() -> Mapping[str, str]:
    """HTML by name: the report of an example, and a model on boards that cost and boards that do not."""
    model = ROOT / "examples" / "camera" / "camera.tflite"
    digits = load(ROOT / "examples" / "digits" / "digits.tflite")
    names = ("bluepill_f103c8", "esp32", "esp32c3", "nrf52840_dk", "nucleo_l4r5zi", "nucleo_u575zi_q", "pico")
    found = on_boards.fits(digits, [load_board(name) for name in names])
    title = f"digits.tflite on {len(found)} boards"
    return {"report": tinycomp.compile(model, board="nucleo_l4r5zi").html,
            "boards": on_boards.page(title, found, Battery(230, 10, 3.0, 5.0))}  # fmt: skip


def beginning_at(text: str, heading: str) -> str:
    """The page without what stands above a heading. Scrolling there gives Chromium an empty picture."""
    script = f"""<script>const first = document.getElementById("{heading}");
      while (first?.previousElementSibling) first.previousElementSibling.remove();</script>"""
    return text.replace("</body>", f"{script}</body>") if heading else text


def main() -> None:
    """Take every picture."""
    from PIL import Image

    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = pages()
        for picture, shot in SHOTS.items():
            page = folder / f"{picture}.html"
            page.write_text(beginning_at(texts[shot.page], shot.heading))
            command = [*flags(folder, dark=shot.dark), "--hide-scrollbars", f"--screenshot={folder / picture}",
                       f"--window-size={shot.width},{shot.height}", page.as_uri()]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            with Image.open(folder / picture) as image:
                image.convert("RGB").quantize(COLOURS).save(IMAGES / picture, optimize=True)
            print(f"{picture}: {(IMAGES / picture).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
