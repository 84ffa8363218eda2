"""What docker/ promises: clean by the tools that judge it, of one mind with itself, and true to the service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import attrs
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from llmedge import __version__
from llmedge.config import ConfigError, Settings, vendors
from llmedge.observe.metrics import Metrics
from tests.e2e.service import ROOT, TIMEOUT, Gateway, Process, command, free_port
from tests.fakes import CHAT, Edge, load, request
from tests.folders import new_folder
from tests.web.through import Asked

DOCKER = Path(ROOT) / "docker"
OTHERS = {"kustomization.yaml", "podmonitor.yaml"}
"""Of kinds that are not Kubernetes' own."""
MANIFESTS = sorted(each for each in (DOCKER / "kubernetes").iterdir() if each.name not in OTHERS | {"secret.yaml"})
RULES = DOCKER / "prometheus" / "llmedge.rules.yml"
HEALTH = DOCKER / "health.py"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
KUBERNETES = "1.35"


def run(*arguments: str | Path, stdin: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout


def manifest(name: str) -> Any:
    return yaml.safe_load((DOCKER / "kubernetes" / name).read_text())


def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def in_dockerfile(pattern: str) -> str:
    """The one match in the Dockerfile's last stage."""
    (found,) = re.findall(pattern, DOCKERFILE.rpartition("\nFROM ")[2], re.MULTILINE)
    return str(found)


class Judged(SynchronousTestCase):
    """By the tools everybody uses."""

    def promtool(self, *arguments: str | Path, stdin: str = "") -> None:
        tool = shutil.which("promtool")
        if tool is None:
            self.skipTest("promtool is not installed (Debian package prometheus)")
        code, out = run(tool, *arguments, stdin=stdin)
        self.assertEqual(code, 0, out)

    def test_dockerfile(self) -> None:
        code, out = run(command("hadolint"), DOCKER / "Dockerfile")
        self.assertEqual((code, out), (0, ""))

    def test_manifests(self) -> None:
        self.assertEqual(len(MANIFESTS), 8)
        code, out = run(command("kubernetes-validate"), "--strict", "-k", KUBERNETES, *MANIFESTS)
        self.assertEqual(code, 0, out)
        self.assertEqual(out.count(" passed for resource "), len(MANIFESTS), out)

    def test_prometheus_configuration(self) -> None:
        self.promtool("check", "config", DOCKER / "prometheus" / "prometheus.yml")

    def test_alerts(self) -> None:
        """They are well formed, fire when they should, and only then."""
        self.promtool("check", "rules", RULES)
        self.promtool("test", "rules", DOCKER / "prometheus" / "llmedge.rules.test.yml")

    def test_dashboard_queries(self) -> None:
        """Each is PromQL: promtool takes it as a recording rule, once Grafana's variables are filled in."""
        rules = [
            {
                "record": f"panel:{number}",
                "expr": expression.replace("$__rate_interval", "1m").replace("$instance", ".*"),
            }
            for number, expression in enumerate(panel_queries())
        ]
        self.assertGreater(len(rules), 10)
        path = new_folder() / "dashboard.rules.yml"
        path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        self.promtool("check", "rules", path)


def panel_queries() -> Iterator[str]:
    dashboard = json.loads((DOCKER / "grafana" / "dashboards" / "llmedge.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):  # a row has none
            yield target["expr"]


def alert_rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
NOT_OURS = {"instance", "job", "le"}
"""Labels that Prometheus adds, and a histogram's own."""


class Observed(SynchronousTestCase):
    """Dashboard and alerts ask for what the service exposes."""

    def queries(self) -> list[str]:
        return [*panel_queries(), *(rule["expr"] for rule in alert_rules())]

    def test_metric_names(self) -> None:
        registry = CollectorRegistry()
        Metrics(registry)
        exposed = {family.name + suffix for family in registry.collect() for suffix in SUFFIXES.get(family.type, ("",))}
        asked = {name for query in self.queries() for name in re.findall(r"\b(?:llm|process|python)_\w+", query)}
        self.assertEqual(asked - exposed, set())
        wanted = """llm_requests_total llm_request_duration_seconds_bucket llm_time_to_first_token_seconds_bucket
            llm_overhead_seconds_bucket llm_tokens_total llm_errors_total llm_requests_in_flight
            llm_reactor_tick_delay_seconds_bucket llm_upstream_attempts_total llm_rate_limited_total"""
        shown = {name for query in panel_queries() for name in re.findall(r"\bllm_\w+", query)}
        self.assertEqual(set(wanted.split()) - shown, set())

    def test_labels(self) -> None:
        """Each query groups and selects by labels that its metrics carry."""
        edge = Edge(
            '[[auth.keys]]\nname = "a"\nkey = "k"\n[prices."m/priced"]\ninput = 1\noutput = 1\n'
            '[providers.m]\ndialect = "mock"\n[providers.slow]\ndialect = "mock"\nlatency = 9\n'
            '[providers.dear]\nbase_url = "http://127.0.0.1:9/v1"\n'
        )
        key = {"x-api-key": "k"}
        edge.ask(body=CHAT | {"model": "m/priced", "stream": True}, headers=key)
        edge.wire().send(request(body=CHAT | {"model": "dear/unpriced"}, headers=key))
        used = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine"}}
        Asked(edge).answer(200, {"id": "c", "model": "m", "choices": [said], "usage": used})
        edge.ask(body=CHAT)
        leaving = edge.wire()  # what it used is estimated
        leaving.send(request(body=CHAT | {"model": "slow/x"}, headers=key))
        leaving.leave()
        text = edge.ask("GET", "/metrics").body.decode()
        labels: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels.setdefault(sample.name, set()).update(sample.labels)
        for query in self.queries():
            metrics = re.findall(r"\b(?:llm|process)_\w+", query)
            asked = {name for names in re.findall(r"\bby \(([^)]*)\)", query) for name in re.split(r",\s*", names)}
            asked |= {
                name for inside in re.findall(r"\{([^}]*)\}", query) for name in re.findall(r"(\w+)=?[=!~]", inside)
            }
            carried = set().union(*(labels[name] for name in metrics))
            self.assertEqual(asked - carried - NOT_OURS, set(), query)

    def test_alerts_say_what_to_do(self) -> None:
        rules = alert_rules()
        self.assertEqual(len({rule["alert"] for rule in rules}), 6)
        for rule in rules:
            self.assertIn(rule["labels"]["severity"], ("warning", "critical"))
            self.assertTrue(rule["annotations"]["summary"])
            self.assertGreater(len(rule["annotations"]["runbook"]), 80, rule["alert"])

    def test_the_job_is_the_one_alerted_on(self) -> None:
        (job,) = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
        self.assertIn(f'up{{job="{job["job_name"]}"}}', " ".join(rule["expr"] for rule in alert_rules()))
        (target,) = job["static_configs"][0]["targets"]
        self.assertIn(target.partition(":")[0], compose()["services"])


class OfOneMind(SynchronousTestCase):
    """Dockerfile, compose and Kubernetes say the same."""

    def setUp(self) -> None:
        self.port = int(in_dockerfile(r"^EXPOSE (\d+)$"))
        self.pod = manifest("deployment.yaml")["spec"]["template"]
        (self.container,) = self.pod["spec"]["containers"]
        self.service = compose()["services"]["llmedge"]

    def test_port(self) -> None:
        self.assertEqual(in_dockerfile(r"\bSERVER_ADDRESS=(\S+)"), f"0.0.0.0:{self.port}")
        self.assertEqual(Settings().server.address, f"0.0.0.0:{self.port}")
        self.assertEqual(self.service["ports"], [f"127.0.0.1:{self.port}:{self.port}"])
        self.assertEqual(self.container["ports"], [{"name": "http", "containerPort": self.port}])
        self.assertEqual(self.pod["metadata"]["annotations"]["prometheus.io/port"], str(self.port))
        self.assertEqual(manifest("service.yaml")["spec"]["ports"][0]["targetPort"], "http")
        self.assertEqual(manifest("networkpolicy.yaml")["spec"]["ingress"][0]["ports"][0]["port"], "http")
        scraped = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
        self.assertEqual(scraped["static_configs"][0]["targets"], [f"llmedge:{self.port}"])

    def test_user(self) -> None:
        """A number, and not root's."""
        user = in_dockerfile(r"^USER (\d+:\d+)$")
        self.assertNotIn("0", user.split(":"))
        self.assertEqual(self.service["user"], user)
        context = self.pod["spec"]["securityContext"]
        self.assertEqual(f"{context['runAsUser']}:{context['runAsGroup']}", user)

    def test_health(self) -> None:
        """The paths that are asked are the service's, and what Docker asks is what Kubernetes asks."""
        paths = {
            kind: self.container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")
        }
        self.assertEqual(paths, {"startup": "/health/live", "readiness": "/health/ready", "liveness": "/health/live"})
        self.assertIn(f'PATH = "{paths["liveness"]}"', HEALTH.read_text())
        self.assertIn("/opt/llmedge/health.py", in_dockerfile(r"^HEALTHCHECK[^\n]*\\\n\s*CMD (.*)$"))
        edge = Edge()
        for path in paths.values():
            self.assertEqual(edge.ask("GET", path).status, 200)

    def test_entry_point(self) -> None:
        """Exec form, or SIGTERM would end at a shell."""
        self.assertEqual(json.loads(in_dockerfile(r"^ENTRYPOINT (.*)$")), ["/opt/llmedge/bin/twist", "llmedge"])
        self.assertNotIn("command", self.container)
        self.assertNotIn("entrypoint", self.service)

    def test_images(self) -> None:
        """Pinned, ours to this version, and from no host in particular."""
        images = {name: service["image"] for name, service in compose()["services"].items()}
        images["pod"] = self.container["image"]
        for image in images.values():
            self.assertRegex(image, r"^([a-z]+/)?[a-z]+:v?\d[\w.\-]+$")
        self.assertEqual({images["llmedge"], images["pod"]}, {f"llmedge:{__version__}"})
        self.assertRegex(DOCKERFILE, r"(?m)^ARG BASE=python:3\.\d+-slim$")
        self.assertEqual(re.findall(r"(?m)^FROM (\S+)", DOCKERFILE), ["${BASE}", "${BASE}"])

    def test_limits(self) -> None:
        resources = {"requests": {"memory": "128Mi", "cpu": "250m"}, "limits": {"memory": "512Mi", "cpu": "1000m"}}
        self.assertEqual(self.container["resources"], resources)
        self.assertEqual((self.service["mem_limit"], self.service["cpus"]), ("512m", 1.0))

    def test_rights(self) -> None:
        """None."""
        context = self.container["securityContext"]
        self.assertEqual(
            context,
            {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        )
        self.assertIs(self.pod["spec"]["securityContext"]["runAsNonRoot"], True)
        self.assertEqual(self.pod["spec"]["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertIs(self.pod["spec"]["automountServiceAccountToken"], False)
        self.assertIs(self.service["read_only"], True)
        self.assertEqual(self.service["cap_drop"], ["ALL"])
        self.assertEqual(self.service["security_opt"], ["no-new-privileges:true"])

    def test_time_to_stop(self) -> None:
        """Who stops it waits for longer than it takes to let calls under way finish."""
        grace = getattr(Settings().server, "shutdown_grace", 30)
        pause = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreater(self.pod["spec"]["terminationGracePeriodSeconds"], pause + grace)
        self.assertGreater(int(self.service["stop_grace_period"].removesuffix("s")), grace)

    def test_replicas(self) -> None:
        deployment, autoscaler = manifest("deployment.yaml"), manifest("autoscaler.yaml")["spec"]
        self.assertEqual(deployment["spec"]["replicas"], 3)
        self.assertEqual(autoscaler["minReplicas"], 3)
        self.assertEqual(autoscaler["scaleTargetRef"]["name"], deployment["metadata"]["name"])

    def test_everything_selects_the_pods(self) -> None:
        labels = self.pod["metadata"]["labels"]
        selectors = [
            manifest("deployment.yaml")["spec"]["selector"]["matchLabels"],
            manifest("service.yaml")["spec"]["selector"],
            manifest("networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"],
            manifest("poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"],
            manifest("podmonitor.yaml")["spec"]["selector"]["matchLabels"],
        ]
        for selector in selectors:
            self.assertEqual(selector, labels)

    def test_ways_to_the_pods(self) -> None:
        """The ingress leads to the service and to nothing but the API; the monitor asks the port that there is."""
        service = manifest("service.yaml")
        (rule,) = manifest("ingress.yaml")["spec"]["rules"]
        for path in rule["http"]["paths"]:
            self.assertEqual(
                path["backend"]["service"],
                {"name": service["metadata"]["name"], "port": {"name": service["spec"]["ports"][0]["name"]}},
            )
            self.assertTrue(path["path"].startswith("/v1"))
        (endpoint,) = manifest("podmonitor.yaml")["spec"]["podMetricsEndpoints"]
        self.assertEqual((endpoint["port"], endpoint["path"]), (self.container["ports"][0]["name"], "/metrics"))

    def test_the_proxy_is_more_patient(self) -> None:
        """Than the longest stream, and takes what is larger than the largest upload."""
        annotations = manifest("ingress.yaml")["metadata"]["annotations"]
        words = {name.rpartition("/")[2]: value for name, value in annotations.items()}
        self.assertGreater(int(words["proxy-read-timeout"]), Settings().server.stream_timeout)
        self.assertGreater(int(words["proxy-body-size"].removesuffix("m")) << 20, Settings().server.max_upload_size)

    def test_kustomization(self) -> None:
        """Names each file beside it, and takes in what every cluster can have."""
        text = (DOCKER / "kubernetes" / "kustomization.yaml").read_text()
        named = set(re.findall(r"(?m)^ +(?:# )?- ([a-z]+\.yaml)", text))
        there = {each.name.removesuffix(".example") for each in (DOCKER / "kubernetes").iterdir()}
        self.assertEqual(named, there - {"kustomization.yaml"})
        taken = set(manifest("kustomization.yaml")["resources"])
        self.assertEqual(named - taken, {"ingress.yaml", "podmonitor.yaml"})


def variables(cls: type = Settings) -> set[str]:
    """All environment variables that set something."""
    names: set[str] = set(vendors.variables())
    for field in attrs.fields(cls):
        meta = field.metadata
        if "option" in meta:
            names |= set(meta["option"].env)
        elif "env" in meta:
            names.add(meta["env"])
        elif "table_of" not in meta:
            names |= variables(getattr(field.default, "factory", field.metadata.get("items")))
    return names


class Configured(SynchronousTestCase):
    """The settings that docker/ makes are settings."""

    def settings(self, **environ: str) -> Settings:
        """Those of a pod, with ``environ`` from its secret."""
        (name, text), *more = manifest("configmap.yaml")["data"].items()
        self.assertEqual(more, [])
        (container,) = manifest("deployment.yaml")["spec"]["template"]["spec"]["containers"]
        (mount,) = container["volumeMounts"]
        self.assertEqual(container["env"], [{"name": "LLMEDGE_CONFIG", "value": f"{mount['mountPath']}/{name}"}])
        file = new_folder() / name
        file.write_text(text)
        return load({"SERVER_ADDRESS": in_dockerfile(r"\bSERVER_ADDRESS=(\S+)")} | environ, str(file))

    def test_config_map(self) -> None:
        settings = self.settings(OPENAI_API_KEY="k")
        self.assertEqual(len(settings.models["smart"].targets), 2, "a second one is there to be seen")
        self.assertEqual(settings.server.listen, ("tcp:8080:interface=0.0.0.0",))
        self.assertFalse(settings.auth.health_check, "the probes have no key")

    def test_secret(self) -> None:
        """Its names are known; as it stands it lets nobody in by a key that the whole world can read."""
        secret = manifest("secret.yaml.example")["stringData"]
        self.assertEqual(set(secret) - variables(), set())
        for value in secret.values():
            self.assertIn("REPLACE_ME", value)
        with self.assertRaises(ConfigError) as caught:
            self.settings(**secret)
        self.assertIn("API_KEYS, key 1, must have 64 hexadecimal digits", str(caught.exception))
        settings = self.settings(**secret | {"API_KEYS": "sha256:" + 64 * "0"})
        self.assertEqual(len(settings.auth.keys), 1)
        self.assertEqual(list(settings.providers), ["openai"])

    def test_compose(self) -> None:
        """All of .env reaches the service, but for where it listens and where its file is, which is mounted."""
        service = compose()["services"]["llmedge"]
        self.assertEqual((DOCKER / service["env_file"]).resolve(), Path(ROOT).resolve() / ".env")
        environment = service["environment"]
        self.assertEqual(set(environment), {"SERVER_ADDRESS", "LLMEDGE_CONFIG"}, "API_KEYS would hide the file's keys")
        self.assertEqual(environment["SERVER_ADDRESS"], in_dockerfile(r"\bSERVER_ADDRESS=(\S+)"))
        (mounted,) = service["volumes"]
        source, target, _ = mounted.split(":")
        file = DOCKER / source / Path(environment["LLMEDGE_CONFIG"]).name
        self.assertEqual(str(Path(environment["LLMEDGE_CONFIG"]).parent), target)
        self.assertEqual(load({"GROQ_API_KEY": "k"}, str(file)).providers, load({"GROQ_API_KEY": "k"}).providers)
        suggested = new_folder() / "suggested.toml"
        suggested.write_text(re.sub(r"(?m)^#(?! )", "", file.read_text()))
        found = load({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, str(suggested))
        self.assertEqual(str(found.models["smart"].targets[0]), "openai/gpt-4o")

    def test_mounted_files_exist(self) -> None:
        for name, service in compose()["services"].items():
            for volume in service.get("volumes", []):
                source = volume.partition(":")[0]
                if source.startswith("."):
                    self.assertTrue((DOCKER / source).is_dir(), f"{name}: {source}")


class Context(SynchronousTestCase):
    def test_what_the_builder_gets(self) -> None:
        """What the wheel is made of; no history, no environment, no tests, no secret."""
        lines = (Path(ROOT) / ".dockerignore").read_text().splitlines()
        patterns = [line for line in lines if line and not line.startswith("#")]

        def sent(path: str) -> bool:
            """As Docker decides: the last pattern that matches the path or a folder above it."""
            parts = path.split("/")
            above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
            verdict = True
            for pattern in patterns:
                name = pattern.removeprefix("!")
                if any(fnmatchcase(each, name) or fnmatchcase(f"/{each}", name.replace("**", "*")) for each in above):
                    verdict = pattern.startswith("!")
            return verdict

        for path in (
            ".git/config",
            ".venv/bin/python",
            "tests/run.py",
            ".env",
            "llmedge.toml",
            "docker/kubernetes/secret.yaml",
            "src/llmedge/__pycache__/tap.cpython-313.pyc",
            "src/llmedge.egg-info/PKG-INFO",
            "twisted/plugins/dropin.cache",
        ):
            self.assertFalse(sent(path), path)
        needed = ["setup.cfg", "pyproject.toml", "README.rst", "LICENSE", "docker/health.py"]
        for path in (*needed, "src/llmedge/web/api.py", "twisted/plugins/llmedge_plugin.py"):
            self.assertTrue((Path(ROOT) / path).exists(), path)
            self.assertTrue(sent(path), path)


def certificate() -> str:
    """The path of a PEM file with a certificate for nobody, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge.invalid")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = new_folder() / "edge.pem"
    path.write_bytes(pem)
    return str(path)


class HealthCheck(TestCase):
    """docker/health.py, asking a real gateway."""

    timeout = TIMEOUT

    async def ask(self, port: int, **environ: str) -> tuple[int, str]:
        process = Process(None)
        process.ready.addErrback(lambda _: None)
        process.start([sys.executable, "-IS", str(HEALTH)], {"SERVER_ADDRESS": f"0.0.0.0:{port}"} | environ)
        return await process.ended, process.out + process.err

    async def gateway(self, **kw: Any) -> Gateway:
        gateway = await Gateway(**kw).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    async def test_alive(self) -> None:
        gateway = await self.gateway()
        self.assertEqual(await self.ask(gateway.port), (0, ""))

    async def test_alive_behind_a_key(self) -> None:
        gateway = await self.gateway(environ={"API_KEYS": "k", "AUTH_HEALTH_CHECK": "true"})
        self.assertEqual(await self.ask(gateway.port), (0, ""))

    async def test_alive_with_tls(self) -> None:
        pem = certificate()
        tls = {"TLS_CERT_PATH": pem, "TLS_KEY_PATH": pem}
        gateway = await self.gateway(environ=tls, arguments=("--port", "ssl:0:interface=127.0.0.1"))
        self.assertEqual(await self.ask(gateway.port, ENABLE_TLS="true"), (0, ""))
        code, out = await self.ask(gateway.port)
        self.assertEqual(code, 1, out)

    async def test_dead(self) -> None:
        code, out = await self.ask(free_port())
        self.assertEqual(code, 1)
        self.assertTrue(out.startswith("not healthy: "), out)
        self.assertNotIn("Traceback", out)
