"""What docker/ adds for a store: true to what it is added to."""

from __future__ import annotations

import re
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.service import command
from tests.fakes import load
from tests.folders import new_folder
from tests.test_containers import DOCKER, KUBERNETES, in_dockerfile, manifest, run


class WithStore(SynchronousTestCase):
    """What is added for a store."""

    def patched(self, kind: str, name: str) -> Any:
        """A manifest with the additions of ``kubernetes-store``."""
        document = manifest(name)
        overlay = yaml.safe_load((DOCKER / "kubernetes-store" / "kustomization.yaml").read_text())
        self.assertEqual(overlay["resources"], ["../kubernetes"])
        (patch,) = (each["patch"] for each in overlay["patches"] if each["target"]["kind"] == kind)
        for operation in yaml.safe_load(patch):  # RFC 6902
            self.assertEqual(operation["op"], "add")
            *way, last = operation["path"].split("/")[1:]
            place = document
            for step in way:
                place = place[int(step) if isinstance(place, list) else step]
            if last == "-":
                place.append(operation["value"])
            else:
                place[last] = operation["value"]
        return document

    def test_kubernetes(self) -> None:
        """The spool is on a volume, whose folder the process is in; the database may be asked."""
        folder = new_folder()
        for kind, name in (("Deployment", "deployment.yaml"), ("NetworkPolicy", "networkpolicy.yaml")):
            (folder / name).write_text(yaml.safe_dump(self.patched(kind, name)))
        code, out = run(command("kubernetes-validate"), "--strict", "-k", KUBERNETES, *sorted(folder.iterdir()))
        self.assertEqual(code, 0, out)
        pod = self.patched("Deployment", "deployment.yaml")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        volumes = {each["name"]: each for each in pod["volumes"]}
        self.assertIn("emptyDir", volumes[mounts[container["workingDir"]]])
        self.assertIn(container["workingDir"], in_dockerfile(r"^RUN install -d -o 10001 -g 10001 (\S+)$"))

    def test_compose(self) -> None:
        more = yaml.safe_load((DOCKER / "compose.store.yaml").read_text())
        service = more["services"]["llmedge"]
        self.assertIn(f"spool:{service['working_dir']}", service["volumes"])
        self.assertEqual(service["working_dir"], in_dockerfile(r"^RUN install -d -o 10001 -g 10001 (\S+)$"))
        self.assertEqual({"spool", "postgres"}, set(more["volumes"]))
        self.assertRegex(more["services"]["postgres"]["image"], r"^postgres:\d[\w.\-]+$")
        url = re.sub(r"\$\{\w+:\?[^}]*\}", "secret", service["environment"]["LLMEDGE_STORE"])
        self.assertIsNone(load({"LLMEDGE_STORE": url}).store.path)
