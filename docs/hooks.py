"""What `mkdocs build` does beside its usual work.

The guides, which are Python files, become pages and notebooks, and get their
place in the navigation. CONTRIBUTING.md, CHANGELOG.md and SECURITY.md become
pages.
"""

import pathlib
import sys

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import guides  # noqa: E402

LIST_OF_GUIDES = "<!-- guides -->"


def ordered_guides(config):
    """Returns the guides, those in the order of mkdocs.yml first."""
    order = config.extra["guides"]
    found = guides.all_guides(pathlib.Path(config.docs_dir) / "guides")
    return sorted(
        found,
        key=lambda guide: (
            order.index(guide.name) if guide.name in order else len(order)
        ),
    )


def on_config(config):
    """Puts the guides into the navigation."""
    for entry in config.nav:
        if "Guides" in entry:
            entry["Guides"] += [
                {guide.title: f"guides/{guide.name}.md"}
                for guide in ordered_guides(config)
            ]
    return config


def on_files(files, config):
    """Adds a page and a notebook for each guide, and pages from the root."""
    made = {}
    for guide in ordered_guides(config):
        made[f"guides/{guide.name}.md"] = guide.page()
        made[f"guides/{guide.name}.ipynb"] = guide.notebook()
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        made[name.lower()] = text.replace("](docs/", "](").replace(
            "](CHANGELOG.md", "](changelog.md"
        )
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lists all guides where a page asks for it."""
    lines = [
        f"- [{guide.title}]({guide.name}.md): {' '.join(guide.lead.split())}"
        for guide in ordered_guides(config)
    ]
    return markdown.replace(LIST_OF_GUIDES, "\n".join(lines))
