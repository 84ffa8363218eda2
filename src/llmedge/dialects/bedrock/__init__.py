"""Amazon Bedrock's Converse and ConverseStream."""

from llmedge.dialects.bedrock.dialect import Bedrock

__all__ = ["Bedrock"]
