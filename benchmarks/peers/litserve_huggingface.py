# mypy: ignore-errors
"""LitServe with its dynamic batching, two workers, and a classifier of Transformers: a batch in one call.

python litserve_huggingface.py PORT MODEL_DIR WORKERS SIZE DELAY_MS
"""

import sys

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

port, model_dir, workers, size, delay_ms = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])


class Classifier(litserve.LitAPI):
    def setup(self, device):
        self.tokenizer = AutoTokenizer.from_pretrained(model_dir)
        self.model = AutoModelForSequenceClassification.from_pretrained(model_dir).eval()

    def decode_request(self, request):
        return request["inputs"]

    def batch(self, inputs):
        return list(inputs)

    def predict(self, texts):
        batch = self.tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
        with torch.inference_mode():
            best = self.model(**batch).logits.softmax(-1).max(-1)
        names = self.model.config.id2label
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [{"label": names[index], "score": score} for index, score in pairs]

    def unbatch(self, outputs):
        return list(outputs)

    def encode_response(self, output):
        return [output]


if __name__ == "__main__":
    api = Classifier(api_path="/invocations", max_batch_size=size, batch_timeout=delay_ms / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
