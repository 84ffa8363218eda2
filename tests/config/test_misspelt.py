"""Variables with a slip are told of, those of other programs are not."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.misspelt import of_settings, of_vendors

ORDINARY = """
HOME PATH USER SHELL LANG LC_ALL TERM TZ PWD HOSTNAME HOST LOGNAME MAIL EDITOR PAGER DISPLAY TMPDIR XDG_RUNTIME_DIR
PORT SSH_AUTH_SOCK SSH_KEY GITHUB_TOKEN GITLAB_TOKEN NPM_TOKEN CI_JOB_TOKEN DOCKER_HOST KUBECONFIG KUBERNETES_PORT
KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT LLMEDGE_PORT LLMEDGE_SERVICE_HOST LLMEDGE_PORT_80_TCP
LLMEDGE_SERVICE_PORT AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_PROFILE AWS_SESSION_TOKEN
GOOGLE_CLOUD_PROJECT AZURE_CLIENT_ID OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_METRICS_ENDPOINT OTEL_SERVICE_NAME
OTEL_METRICS_EXPORTER OTEL_LOG_LEVEL RUST_LOG RUST_BACKTRACE DEBUG LOG_FILE LOG_DIR LOG_FORMAT VERBOSE DATABASE_URL
REDIS_URL SENTRY_DSN BASE_URL API_URL API_TOKEN API_HOST SECRET_KEY JWT_SECRET TLS_CA_PATH SSL_CERT_FILE SSL_KEY_PATH
HTTP_PROXY HTTPS_PROXY NO_PROXY CURL_CA_BUNDLE SERVER_NAME SERVER_PORT SERVER_SOFTWARE REQUEST_TIMEOUT MAX_CONNECTIONS
AUTH_TOKEN AUTH_SECRET METRICS_PORT ENABLE_DEBUG LANGFUSE_SECRET_KEY HELICONE_API_KEY TAVILY_API_KEY SERPAPI_API_KEY
PINECONE_API_KEY REPLICATE_API_TOKEN VAULT_TOKEN INVOCATION_ID JOURNAL_STREAM LISTEN_FDS NOTIFY_SOCKET VIRTUAL_ENV
PYTHONPATH PYTHONUNBUFFERED OPENAI_ORG_ID OPENAI_PROJECT ELEVENLABS_API_KEY HF_HOME OLLAMA_MODELS OLLAMA_NUM_PARALLEL
"""


class Names(SynchronousTestCase):
    def test_of_vendors(self) -> None:
        for name, meant in {
            "OPENAI_API_KYE": "OPENAI_API_KEY",
            "OPENAI_BASEURL": "OPENAI_BASE_URL",
            "ANTHROPIC_BASE_URLS": "ANTHROPIC_BASE_URL",
            "MISTRAL_API_KEYS": "MISTRAL_API_KEY",
            "OPENROUTER_APIKEY": "OPENROUTER_API_KEY",
            "GOOGLE_API_KEY": "GEMINI_API_KEY",
        }.items():
            self.assertEqual([*of_vendors({name: "x"})], [(name, meant)])
            self.assertEqual([*of_vendors({name: "x", meant: "y"})], [])
            self.assertEqual([*of_vendors({name: " "})], [])

    def test_of_settings(self) -> None:
        for name, meant in {
            "API_KEY": "API_KEYS",
            "APIKEYS": "API_KEYS",
            "LLMEDGE_API_KEYS": "API_KEYS",
            "SERVER_ADRESS": "SERVER_ADDRESS",
            "LLMEDGE_SERVER_ADDRESS": "SERVER_ADDRESS",
            "LOGLEVEL": "LOG_LEVEL",
            "AUTH_ENABLE": "AUTH_ENABLED",
            "LLMEDGE_CONF": "LLMEDGE_CONFIG",
            "RATE_LIMITS_RPM": "RATE_LIMIT_RPM",
            "ENABLE_METRIC": "ENABLE_METRICS",
        }.items():
            self.assertEqual([*of_settings({name: "x"}, {})], [(name, meant)])
            self.assertEqual([*of_settings({name: "x", meant: "y"}, {})], [])

    def test_what_the_file_says(self) -> None:
        """Then nobody misses the variable."""
        self.assertEqual([*of_settings({"API_KEY": "x"}, {("auth", "keys"): 1})], [])
        self.assertEqual(len([*of_settings({"API_KEY": "x"}, {("log", "level"): 1})]), 1)

    def test_of_other_programs(self) -> None:
        environ = dict.fromkeys(ORDINARY.split(), "x")
        self.assertEqual([*of_vendors(environ), *of_settings(environ, {})], [])
