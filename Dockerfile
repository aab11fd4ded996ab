# The app, for a machine without Python: docker build -t stg-explorer . && docker run -p 127.0.0.1:8501:8501 -v stg:/data stg-explorer
FROM python:3.12-slim

# Without a GPU; with one: --build-arg TORCH=https://pypi.org/simple, and docker run --gpus all
ARG TORCH=https://download.pytorch.org/whl/cpu

RUN useradd --create-home stg && install -d -o stg -g stg /data
WORKDIR /srv/stg
COPY requirements.txt ./
# Of the versions that are required, else the second command would bring CUDA after all.
RUN pip install --no-cache-dir --index-url "$TORCH" $(grep '^torch' requirements.txt) \
    && pip install --no-cache-dir -r requirements.txt
COPY app app
COPY pages pages
COPY stg_core stg_core
COPY assets assets

USER stg
ENV STG_HOME=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8501
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD python -c "import urllib.request; urllib.request.urlopen('http://localhost:8501/_stcore/health')"
CMD ["python", "-m", "streamlit", "run", "app/main.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
