"""Writes a Jupyter notebook for each guide.

    python -m tools.make_notebooks --output_dir=/tmp/notebooks
"""

import pathlib

from absl import app, flags

from tools import guides

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", "/tmp/notebooks", "Where notebooks go.")


def main(_) -> None:
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for guide in guides.all_guides():
        path = folder / f"{guide.name}.ipynb"
        path.write_text(guide.notebook(), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    app.run(main)
