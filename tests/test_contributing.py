"""The examples of CONTRIBUTING.rst, applied to a copy of the source and tried."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import new_folder

ROOT = Path(__file__).parent.parent
MOST = 40
"""Lines of a diff."""


def example(title: str) -> str:
    """The diff under ``title``."""
    _, _, section = (ROOT / "CONTRIBUTING.rst").read_text().partition(f"\n{title}\n---")
    found = re.search(r"\.\. code-block:: diff\n\n((?:(?: {4}.*)?\n)+)", section)
    assert found is not None, title
    return textwrap.dedent(found[1]).rstrip("\n ") + "\n"


class Examples(SynchronousTestCase):
    def applied(self, title: str, code: str) -> Any:
        """What ``code`` prints as JSON, with the example under ``title`` applied."""
        diff = example(title)
        self.assertLessEqual(len(diff.splitlines()), MOST)
        folder = new_folder()
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        # Outside of any repository; lines may have moved since.
        subprocess.run(
            ["git", "apply", "--unidiff-zero"],
            cwd=folder,
            env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
            input=diff.encode(),
            check=True,
        )
        environ = os.environ | {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{ROOT}"}
        ran = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return json.loads(ran.stdout.splitlines()[-1])

    def test_a_stage(self) -> None:
        """Streams and whole answers have their words counted, in every dialect; other operations are left alone."""
        found = self.applied(
            "Add a stage",
            """if True:
            import json
            from tests.fakes import Edge
            edge = Edge()
            said = edge.chat().json()["choices"][0]["message"]["content"]
            edge.chat(stream=True)
            message = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "one two three"}]}
            for stream in (False, True):
                edge.ask(path="/v1/messages", body=message | {"stream": stream})
            edge.ask(path="/v1/embeddings", body={"model": "m", "input": "one"})
            facts = [{fact.name: value for fact, value in each.facts.items()} for each in edge.records]
            print(json.dumps([len(said.split()), facts]))
            """,
        )
        words, facts = found
        self.assertGreater(words, 3)
        self.assertEqual(facts, [{"words": words}] * 4 + [{}])

    def test_an_operation(self) -> None:
        """Both are served, labelled and described; the one that is passed through is answered by the mock."""
        found = self.applied(
            "Add an operation",
            """if True:
            import json
            from tests.fakes import Edge
            from llmedge.web.openapi import openapi
            edge = Edge()
            asked = edge.ask("GET", "/v1/callers/anonymous"), edge.ask("GET", "/v1/callers/others")
            films = edge.ask(path="/v1/videos", body={"model": "m", "prompt": "a cat"})
            described = openapi()["paths"]
            print(json.dumps([
                asked[0].json(), asked[1].status, films.status, [each.route for each in edge.records],
                "/v1/videos" in described, described["/v1/callers/{name}"]["get"]["parameters"][0]["name"],
            ]))
            """,
        )
        callers, videos = "/v1/callers/{name}", "/v1/videos"
        self.assertEqual(
            found, [{"name": "anonymous", "models": ["*"]}, 404, 200, [callers, callers, videos], True, "name"]
        )

    def test_a_vendor(self) -> None:
        """Its option is read from file and environment, and is nobody else's."""
        found = self.applied(
            "Add a vendor",
            """if True:
            import json
            from llmedge.config import ConfigError
            from tests.fakes import settings
            def tenant(toml, **environ):
                return settings(toml, environ).providers["p"].tenant
            base = '[providers.p]\\nvendor = "initech"\\napi_key = "k"\\n'
            try:
                settings('[providers.p]\\nbase_url = "http://h"\\ntenant = "t"\\n')
            except ConfigError as error:
                said = str(error)
            print(json.dumps([tenant(base), tenant(base + 'tenant = "a"'), tenant(base, INITECH_TENANT="b"), said]))
            """,
        )
        self.assertEqual(found[:3], ["default", "a", "b"])
        self.assertIn('providers.p.tenant is for the vendor "initech" only', found[3])
