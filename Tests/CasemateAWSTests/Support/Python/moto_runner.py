"""A moto server on a free loopback port with a few keys, secrets and a bucket. Prints what there is as one line of JSON, and ends when
its standard input does. With --auth it then checks signatures and rights, as AWS does."""

import json
import sys
import urllib.request
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"

    def client(service: str) -> Any:
        return boto3.client(
            service, region_name=REGION, endpoint_url=url, aws_access_key_id="testing", aws_secret_access_key="testing"
        )

    kms, secrets, s3, iam = (client(name) for name in ("kms", "secretsmanager", "s3", "iam"))
    key = kms.create_key()["KeyMetadata"]["Arn"]
    other = kms.create_key()["KeyMetadata"]["Arn"]
    disabled = kms.create_key()["KeyMetadata"]["Arn"]
    signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/casemate", TargetKeyId=key)
    sealed = kms.encrypt(KeyId=disabled, Plaintext=b"sealed before")["CiphertextBlob"].hex()
    # By its id: moto 5.2 answers 500 to an ARN here.
    kms.disable_key(KeyId=disabled.split("/")[1])
    secrets.create_secret(Name="plant/text", SecretString="grün\n")
    secrets.create_secret(Name="plant/binary", SecretBinary=bytes(range(256)))
    secrets.create_secret(
        Name="plant/json",
        SecretString=json.dumps({"password": 'p"w\u00fc', "port": 5432, "tls": True, "list": [1], "none": None}),
    )
    secrets.create_secret(Name="plant/turned", SecretString="first")
    secrets.put_secret_value(SecretId="plant/turned", SecretString="second")
    s3.create_bucket(Bucket="casemate-test", CreateBucketConfiguration={"LocationConstraint": REGION})
    found: dict[str, Any] = {
        "port": port,
        "key": key,
        "other": other,
        "disabled": disabled,
        "sealed": sealed,
        "signing": signing,
    }

    if "--auth" in sys.argv:
        # "archives" may do with one prefix what docs/operating.md says is enough; "owner" may do all with the bucket.
        objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        policies: dict[str, tuple[Any, str] | None] = {
            "may": ("kms:*", "*"),
            "maynot": None,
            "archives": (objects, "arn:aws:s3:::casemate-test/archives/plant/*"),
            "owner": ("s3:*", "*"),
        }
        for name, policy in policies.items():
            iam.create_user(UserName=name)
            if policy:
                statement = {"Effect": "Allow", "Action": policy[0], "Resource": policy[1]}
                document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
                iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=document)
            access = iam.create_access_key(UserName=name)["AccessKey"]
            found[name] = [access["AccessKeyId"], access["SecretAccessKey"]]
        reset = urllib.request.Request(f"{url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"})
        urllib.request.urlopen(reset)

    print(json.dumps(found), flush=True)
    sys.stdin.read()


main()
