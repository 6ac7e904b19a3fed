#!/bin/sh
# build_and_push.sh IMAGE[:TAG] [--region REGION] [--registry HOST[:PORT]] [--file DOCKERFILE] [--no-build] [DOCKER-BUILD-OPTION…]
# Builds an image, pushes it, and prints the URI for an Estimator or ModelTrainer. Without --registry it goes to the ECR of
# your AWS account, in --region (or AWS_REGION, AWS_DEFAULT_REGION, or the region of `aws configure`); the repository is
# created if needed. The default of --file is Dockerfile.cpu; --no-build pushes an image that exists already. Other options
# (--build-arg HANDLERS=none) go to `docker build`.
#   ./build_and_push.sh my-model --region eu-west-1 --build-arg HANDLERS=none
#   ./build_and_push.sh my-model:v2 --registry 127.0.0.1:5000

set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=$here/.venv/bin/python # has boto3 after `make setup`
[ -x "$python" ] || python=python3

usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
fail() {
    echo "build_and_push.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] || usage
image=$1 registry='' region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}} file='' build=yes
case $image in -*) usage ;; */*) fail "IMAGE is '$image'; it must be a name without a registry, such as my-model or my-model:v2" ;; esac
shift
for option; do
    # Our options are removed from the arguments; docker's are appended and stay.
    if [ -n "${ours:-}" ]; then
        eval "$ours=\$option"
        ours=''
        shift
        continue
    fi
    case $option in
        --region | --registry | --file) ours=${option#--} ;;
        --region=* | --registry=* | --file=*) name=${option%%=*} && eval "${name#--}=\${option#*=}" ;;
        --no-build) build=no ;;
        -h | --help) usage ;;
        *) set -- "$@" "$option" ;;
    esac
    shift
done
[ -z "${ours:-}" ] || fail "--$ours needs a value"
case $image in *:*) ;; *) image=$image:latest ;; esac

if [ $build = yes ]; then
    revision=$(git -C "$here" rev-parse HEAD 2>/dev/null || true)
    if [ -n "$file" ]; then
        docker build -t "$image" -f "$file" "$@" "$(dirname "$file")" >&2
    else
        docker build -t "$image" -f "$here/Dockerfile.cpu" --build-arg REVISION="$revision" "$@" "$here" >&2
    fi
elif [ $# -gt 0 ]; then
    fail "--no-build leaves nothing that $* could be for"
fi

if [ -z "$registry" ]; then
    registry=$("$python" "$here/tools/ecr.py" "${image%:*}" "$region") || exit 1
    # Two lines: the registry, and the password, which no command line shows.
    password=${registry#*
}
    registry=${registry%%
*}
    echo "$password" | docker login --username AWS --password-stdin "$registry" >&2
fi
uri=$registry/$image
docker tag "$image" "$uri"
docker push "$uri" >&2
echo "$uri"
