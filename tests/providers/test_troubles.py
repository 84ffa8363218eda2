"""What errors are about, in the words of many vendors, and what is not believed."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.dialect import VendorError
from llmedge.providers.troubles import Trouble, trouble_in, trouble_of, without_account

BILLING, LOCATION, UNSERVED = Trouble.BILLING, Trouble.LOCATION, Trouble.UNSERVED
ALLOWANCE, CREDENTIALS, REQUEST = Trouble.ALLOWANCE, Trouble.CREDENTIALS, Trouble.REQUEST

WORDS = {
    BILLING: (
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        "You have reached your specified API usage limits. You will regain access on 2027-01-01 at 00:00 UTC.",
        "You have reached your specified workspace API usage limits.",
        "This organization has been disabled.",
        "Organization has been restricted. Please reach out to support.",
        "Insufficient Balance",
        "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
        "Insufficient balance or no resource package. Please recharge.",
        "Insufficient USD or Diem balance to complete request",
        "Sorry, your account balance is insufficient",
        "Your account is not active, please check your billing details on our website.",
        "Your account org-1<ak-2> is suspended, please check your plan and billing details",
        "Billing hard limit has been reached",
        "Your project has exceeded its monthly spending cap.",
        "Your prepayment credits are depleted.",
        "You have exceeded your monthly included credits for Inference Providers.",
        "User's credit limit is insufficient, remaining credit limit: $0.000000",
        "The free tier of the model has been exhausted.",
        "Access denied, please make sure your account is in good standing.",
        "余额不足或无可用资源包,请充值。",
    ),
    LOCATION: (
        "User location is not supported for the API use.",
        "Country, region, or territory not supported",
        "Access to Anthropic models is not allowed from unsupported countries, regions, or territories.",
        "Gemini API free tier is not available in your country. Please enable billing.",
        "This model is not available in your region.",
        "Access to Anthropic models is not allowed for this account.",
    ),
    UNSERVED: (
        "The model `gpt-9` does not exist or you do not have access to it.",
        "The requested model 'gpt-9' does not exist.",
        "The API deployment for this resource does not exist. If you created the deployment within …",
        "Model Not Exist",
        "Model not found: grok-9",
        "Model not found, inaccessible, and/or not deployed",
        'model "llama9" not found, try pulling it first',
        "model 'command-x' not found, make sure the correct model ID was used",
        "The model `mixtral` has been decommissioned and is no longer supported.",
        "This model version has reached the end of its life.",
        "models/gemini-9 is not found for API version v1beta, or is not supported for generateContent.",
        "Publisher Model `projects/p/locations/l/publishers/google/models/x` was not found",
        "Invalid model: mistral-9",
        "This is not a chat model and thus not supported in the v1/chat/completions endpoint.",
        "This model is only supported in v1/responses and not in v1/chat/completions.",
        "Unknown Model, please check the model code.",
        "unknown provider for model gpt-9",
        "Not found the model kimi-9 or Permission denied",
        "foo/bar is not a valid model ID",
        "No endpoints found for foo/bar.",
        "Unable to access non-serverless model x. Please create a dedicated endpoint",
        "The provided model identifier is invalid.",
        "Invocation of model ID anthropic.x with on-demand throughput is not supported.",
        "You don't have access to the model with the specified model ID.",
        "Model use case details have not been submitted for this account.",
        "Project `proj_a` does not have access to model `gpt-9`",
        "模型不存在",
    ),
    ALLOWANCE: (
        "Request too large for model `x` in organization `o` service tier `on_demand` on tokens per minute (TPM): "
        "Limit 6000, Requested 9000, please reduce your message size and try again.",
        "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 342389.",
        "This request requires more credits, or fewer max_tokens. You requested up to 9 tokens, but can only afford 1",
        "Extra usage is required for long context requests",
        "Your organization must be verified to stream this model. Please go to: https://platform.openai.com",
        "To access this model your organization must be verified.",
    ),
    CREDENTIALS: ("API key not valid. Please pass a valid API key.", "API key expired. Please renew the API key."),
    REQUEST: (
        "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.",
        "Previous response with id 'resp_1' not found.",
        "No such File object: file-1",
        "File not found: file_1",
        "Vector store with id ['vs_1'] not found.",
        "Conversation with id 'conv_1' not found.",
        "CachedContent not found (or permission denied)",
        "Not found: cached content metadata for 1234.",
        "No response found with id 'resp_1'.",
        "You do not have permission to access the File abc or it may not exist.",
        "Error retrieving tool list from MCP server: 'x'. Http status code: 424 (Failed Dependency)",
    ),
    None: (
        "",
        "Not Found",
        "Invalid value: 'Your credit balance is too low'. Supported values are: 'low'.",
        "1 validation error: input_value='Insufficient Balance'",
        "Unknown parameter: 'model not found'",
        "The model `x` does not support this parameter.",
        "This model's maximum context length is 8192 tokens.",
        "Invalid 'messages[0].content': The model `x` does not exist",
        "You exceeded your current quota, please check your plan and billing details.",
        "Rate limit reached for gpt-4 on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000.",
        "Model is overloaded, try again later",
    ),
}


class Words(SynchronousTestCase):
    def test_of_many_vendors(self) -> None:
        """How a message begins says what it is about; what it quotes of a request does not."""
        for trouble, messages in WORDS.items():
            for message in messages:
                self.assertIs(trouble_in(message), trouble, message)


class Errors(SynchronousTestCase):
    def test_codes(self) -> None:
        """Where there is a code, the words do not matter; a type will do."""
        for code, trouble in (
            ("insufficient_quota", BILLING),
            ("Arrearage", BILLING),
            ("insufficient_user_quota", BILLING),
            ("unsupported_country_region_territory", LOCATION),
            ("model_not_found", UNSERVED),
            ("DeploymentNotFound", UNSERVED),
            ("model_decommissioned", UNSERVED),
            ("OperationNotSupported", UNSERVED),
            ("model_permission_blocked_project", UNSERVED),
            ("model_terms_required", UNSERVED),
            ("ServiceQuotaExceededException", ALLOWANCE),
            ("API_KEY_INVALID", CREDENTIALS),
            ("invalid_value", None),
        ):
            self.assertIs(trouble_of(400, VendorError("x", code=code)), trouble, code)
            self.assertIs(trouble_of(403, VendorError("x", type=code)), trouble, code)

    def test_statuses(self) -> None:
        """What a status says of an error that says nothing, or little."""
        for status, error, trouble in (
            (404, VendorError(), UNSERVED),
            (410, VendorError("Gone"), UNSERVED),
            (404, VendorError("model: claude-9", "not_found_error"), UNSERVED),
            (404, VendorError("Requested entity was not found."), UNSERVED),
            (402, VendorError("pay"), BILLING),
            (402, VendorError(WORDS[ALLOWANCE][2]), ALLOWANCE),
            (413, VendorError("x", "tokens", "rate_limit_exceeded"), ALLOWANCE),
            (413, VendorError("Request exceeds the maximum size", "request_too_large"), None),
            (429, VendorError("x", "tokens", "rate_limit_exceeded"), None),
            (424, VendorError("x", "external_connector_error", "http_error"), REQUEST),
            (424, VendorError("ModelErrorException"), None),
        ):
            self.assertIs(trouble_of(status, error), trouble, (status, error))

    def test_what_the_request_names(self) -> None:
        """What it refers to, where a vendor may say that it is not there; and a model that is not the target's."""
        for message in WORDS[REQUEST]:
            for status, trouble in ((403, REQUEST), (404, REQUEST), (400, None), (401, None)):
                self.assertIs(trouble_of(status, VendorError(message)), trouble, message)
        for status, trouble in ((404, REQUEST), (400, None)):
            error = VendorError("The model `x` does not exist", code="model_not_found", param="tools[0].model")
            self.assertIs(trouble_of(status, error), trouble)
        self.assertIs(trouble_of(404, VendorError("no", param="file_id")), REQUEST)


class Accounts(SynchronousTestCase):
    def test_names_of_ours(self) -> None:
        """They are left out, and nothing else is."""
        for text, shown in (
            ("in organization `org_01k3n4` on", "in organization `…` on"),
            ("in organization org-abcDEF12 on", "in organization … on"),
            ("Project `proj_abcdef12` has", "Project `…` has"),
            ("Model `projects/my-shop/locations/us` was", "Model `projects/…/locations/us` was"),
            ("consumer 'project_number:681255809395'.", "consumer 'project_number:…'."),
            ("User: arn:aws:sts::123456789012:assumed-role/x is", "User: … is"),
            ("your team 0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f does", "your team … does"),
            ("Not found for account 'AbCd_1234-x'", "Not found for account '…'"),
            ("the organization of projects is organic", "the organization of projects is organic"),
        ):
            self.assertEqual(without_account(text), shown)
