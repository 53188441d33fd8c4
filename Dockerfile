# The server without torch: docker build -t weilei . && docker run -p 8000:8000 \
#   -e WEILEI_SERVE_API_KEYS='["<SHA-256, from weilei serve --make-key>"]' weilei
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE* ./
COPY classifier classifier
COPY training training
COPY serve serve
COPY models models
RUN pip install --no-cache-dir '.[serve]' \
 && rm -rf /app/* \
 && useradd --system --no-create-home weilei
USER weilei
ENV WEILEI_SERVE_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD \
  python -c "import urllib.request as u; \
  u.urlopen('http://127.0.0.1:${WEILEI_SERVE_PORT:-8000}/readyz', timeout=2)"
ENTRYPOINT ["weilei", "serve"]
