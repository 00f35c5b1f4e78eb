"""Names of packages that are often asked for, which names of bad packages imitate; and neighbours of theirs that are sound."""

from __future__ import annotations

from typing import Final

POPULAR: Final = frozenset("""
    absl-py adal adlfs aiobotocore aiofiles aiohappyeyeballs aiohttp aiohttp-retry aioitertools aiomqtt aioredis
    aiosignal aiosqlite airflow alembic altair amqp annotated-types ansible anthropic antlr4-python3-runtime anyio
    apache-airflow apache-beam appdirs apscheduler argcomplete argon2-cffi arrow asgiref asn1crypto astroid asttokens
    async-lru async-timeout asyncio-mqtt asyncpg asyncua atomicwrites attrs authlib autopep8 avro awscli aws-xray-sdk
    azure-common azure-core azure-eventhub azure-functions azure-identity azure-keyvault-secrets azure-mgmt-core
    azure-servicebus azure-storage-blob babel backoff bandit bcrypt beautifulsoup4 billiard bitarray black bleach
    blinker bokeh boto boto3 botocore bottleneck bottle brotli build cachecontrol cachetools casadi catboost cattrs
    celery certifi cffi cfgv chardet charset-normalizer cheroot cherrypy click click-plugins cloudevents cloudpickle
    cognite-sdk cognite-extractor-utils colorama coloredlogs colorlog confluent-kafka contourpy coolprop coverage
    croniter cryptography cssselect cvxpy cycler cython dacite dagster dash dask databricks-sdk dataclasses-json
    dateparser datadog dbt-core debugpy decorator deepdiff defusedxml delta-spark deprecated detect-secrets dill
    diskcache distlib distributed distro django django-cors-headers django-filter djangorestframework dnspython docker docopt docstring-parser docutils dulwich duckdb
    elasticsearch email-validator emoji et-xmlfile execnet executing fabric faiss-cpu faker fastapi fastavro fastjsonschema
    fastparquet feedparser filelock fiona flake8 flask flask-cors flask-login flask-sqlalchemy fonttools freezegun
    frozenlist fsspec future gcsfs gensim geopandas geopy gevent gitpython google-api-core google-api-python-client
    google-auth google-cloud-bigquery google-cloud-pubsub google-cloud-storage googleapis-common-protos graphene
    graphviz greenlet grpcio grpcio-status grpcio-tools gspread gunicorn gym gymnasium h11 h2 h5py haystack-ai
    hdbcli holidays hpack html5lib httpcore httplib2 httptools httpx httpx-sse huggingface-hub humanize hvac
    hydra-core hyperlink hypothesis ibm-db idna imageio imbalanced-learn importlib-metadata importlib-resources
    influxdb influxdb-client iniconfig invoke ipykernel ipython ipywidgets isodate isort itsdangerous jedi jinja2
    jira jiter jmespath joblib json5 jsonpatch jsonpath-ng jsonpickle jsonpointer jsonschema jupyter jupyterlab jwcrypto
    kafka-python keras keyring kiwisolver kombu kubernetes langchain langchain-core lazy-object-proxy lightgbm
    limits linkify-it-py litellm llvmlite locket loguru lxml lz4 mako mariadb markdown markdown-it-py markupsafe
    marshmallow matplotlib mccabe mdurl minio mistune mlflow mock modbus-tk mongoengine more-itertools mpmath
    msal msal-extensions msgpack msrest multidict multiprocess mypy mypy-extensions mysqlclient mysql-connector-python
    nats-py natsort nbclient nbconvert nbformat neo4j nest-asyncio networkx nltk nodeenv notebook numba numexpr
    numpy oauthlib odfpy onnx onnxruntime openai openapi-spec-validator opencv-python opencv-python-headless openpyxl
    opentelemetry-api opentelemetry-sdk opentelemetry-exporter-otlp optuna oracledb orjson osisoft-pi overrides
    packaging paho-mqtt pandas pandera papermill paramiko parso partd passlib pathlib2 pathspec patsy peewee pendulum
    pexpect pika pillow pint pip pipenv platformdirs playwright plotly pluggy ply poetry polars portalocker prefect
    pre-commit prettytable prometheus-client prompt-toolkit propcache proto-plus protobuf psutil psycopg psycopg2
    psycopg2-binary psycopg-binary ptyprocess pulp pure-eval py4j pyarrow pyasn1 pyasn1-modules pycodestyle pycparser
    pycryptodome pycryptodomex pydantic pydantic-core pydantic-settings pydeck pydocstyle pydot pyflakes pygithub
    pygments pyinstaller pyjwt pylint pymodbus pymongo pymssql pymysql pynacl pyodbc pyomo pyopenssl pyparsing pypdf
    pypdf2 pyproj pyproject-hooks pyrsistent pyserial pysftp pyshp pysocks pyspark pytest pytest-asyncio pytest-cov
    pytest-mock pytest-xdist python-box python-dateutil python-decouple python-docx python-dotenv python-gnupg
    python-json-logger python-jose python-multipart python-slugify python-snap7 pytorch-lightning pytz pytz-deprecation-shim
    pyvista pywavelets pywin32 pyyaml pyzmq ray redis referencing regex reportlab requests requests-file
    requests-mock requests-oauthlib requests-toolbelt responses retry retrying rfc3339-validator rich ruamel-yaml ruff
    s3fs s3transfer safetensors salesforce scikit-image scikit-learn scipy scrapy seaborn selenium semver sendgrid
    sentence-transformers sentencepiece sentry-sdk setuptools shap shapely simplejson simpy six skforecast slack-sdk
    smart-open smmap sniffio snowflake-connector-python sortedcontainers soupsieve spacy sphinx sqlalchemy sqlmodel
    sqlparse sseclient-py stack-data starlette statsmodels stevedore streamlit stripe structlog sympy tablib tabulate
    tblib tenacity tensorboard tensorflow termcolor text-unidecode threadpoolctl thrift tifffile tiktoken tldextract
    tokenizers toml tomli tomlkit toolz torch torchaudio torchvision tornado tox tqdm traitlets transformers trio
    twilio twine typeguard typer typing-extensions typing-inspect tzdata tzlocal ujson unidecode uritemplate urllib3
    uvicorn uvloop validators virtualenv wandb watchdog watchfiles wcwidth webencodings websocket-client websockets
    werkzeug wheel widgetsnbextension wrapt wtforms xarray xgboost xlrd xlsxwriter xmltodict yarl yapf zeep zipp
    zstandard
    """.split())

SOUND: Final = frozenset("""
    elasticsearch5 elasticsearch6 elasticsearch7 elasticsearch8 fabric2 fabric3 grpclib hiredis markdown2 parse pypdf3
    pypdf4 pycrypto starlite typing xlrd2 xlwt
    """.split())
