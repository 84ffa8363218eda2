"""A random-weight GGUF of 0.6 MB, written here: llama.cpp's real server runs it without any download."""

from __future__ import annotations

import sys

import gguf
import numpy as np

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {byte: chr(byte) for byte in plain}
    extra = 0
    for byte in range(256):
        if byte not in names:
            names[byte] = chr(256 + extra)
            extra += 1
    return [names[byte] for byte in range(256)]


def write(path: str) -> None:
    """Write the model: two layers, 64 wide, a vocabulary of bytes, a few merges and three specials."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = byte_alphabet()
    merges = ["t h", "th e", "i n", "a n", "o u"]
    tokens = specials + letters + [merge.replace(" ", "") for merge in merges]
    width, hidden, layers, heads, size = 64, 128, 2, 2, len(tokens)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(size)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(specials) + [1] * (size - len(specials)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT_TEMPLATE)
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.08).astype(np.float32)

    output = weights(size, width)
    # Only printable ASCII and merges are likely: readable text, and no half UTF-8 characters at its end.
    for index, token in enumerate(tokens):
        if index < len(specials) or (len(token) == 1 and not 33 <= ord(token) < 127):
            output[index] = -0.5 * np.abs(output[index])
    writer.add_tensor("token_embd.weight", weights(size, width))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("output.weight", output)
    for layer in range(layers):
        prefix = f"blk.{layer}."
        writer.add_tensor(prefix + "attn_norm.weight", np.ones(width, np.float32))
        writer.add_tensor(prefix + "ffn_norm.weight", np.ones(width, np.float32))
        for name in ("q", "k", "v"):
            writer.add_tensor(f"{prefix}attn_{name}.weight", weights(width, width))
        writer.add_tensor(prefix + "attn_output.weight", weights(width, width))
        writer.add_tensor(prefix + "ffn_gate.weight", weights(hidden, width))
        writer.add_tensor(prefix + "ffn_up.weight", weights(hidden, width))
        writer.add_tensor(prefix + "ffn_down.weight", weights(width, hidden))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
