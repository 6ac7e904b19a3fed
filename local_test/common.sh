# shellcheck shell=sh
# What the three scripts share. TEST_DIR is what becomes /opt/ml, PORT (or
# SAGEMAKER_BIND_TO_PORT) where the server is reached; inside a container it listens on 8080.
here=$(cd "$(dirname "$0")" && pwd)
TEST_DIR=${TEST_DIR:-$here/test_dir}
case $TEST_DIR in /*) ;; *) TEST_DIR=$PWD/$TEST_DIR ;; esac
PORT=${PORT:-${SAGEMAKER_BIND_TO_PORT:-8080}}
PATH=$here/../.venv/bin:$PATH

usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# in_container IMAGE COMMAND [OPTION…]: runs the image on TEST_DIR as the calling user, so that what it leaves
# belongs to that user; settings of the server are passed on.
in_container() {
    image=$1 command=$2
    shift 2
    for variable in $(env | sed -n 's/^\(\(SAGEMAKER_\|MODEL_\)[A-Z_]*\)=.*/\1/p'); do
        case $variable in
        SAGEMAKER_BASE_DIR | SAGEMAKER_BIND_TO_PORT) ;;
        *) set -- "$@" -e "$variable" ;;
        esac
    done
    exec docker run --rm --user "$(id -u):$(id -g)" -v "$TEST_DIR:/opt/ml" "$@" "$image" "$command"
}
