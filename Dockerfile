# Serve the page in a container: see docs/serve.md.
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 ich
WORKDIR /opt/ich

# torch comes first because it is the largest part and changes least. Set TORCH_INDEX to an index
# with CPU-only builds to save gigabytes.
ARG TORCH_INDEX=""
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch torchvision

COPY pyproject.toml README.md LICENSE ./
COPY ich_cli ich_cli
COPY gradio_app gradio_app
COPY hub hub
COPY model_card.md ./
RUN pip install --no-cache-dir --constraint constraints.txt .

USER ich
ENV OMP_NUM_THREADS=4 HF_HUB_OFFLINE=1 MPLCONFIGDIR=/tmp/matplotlib
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/robots.txt', timeout=4)"]
ENTRYPOINT ["ich", "serve", "--host", "0.0.0.0"]
