"""Prints every region that botocore knows with its host for KMS, then ends with its standard input."""

import json
import sys

import botocore.session
from botocore.loaders import Loader

session = botocore.session.get_session()
hosts = {}
for partition in Loader().load_data("partitions")["partitions"]:
    for region in partition["regions"]:
        if "global" not in region:
            hosts[region] = f"kms.{region}.{partition['outputs']['dnsSuffix']}"
print(json.dumps(hosts), flush=True)
sys.stdin.read()
