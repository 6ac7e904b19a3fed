"""One meaning, several forms in JSON: each dialect is a pair of functions that know nothing of the server.

body                            inputs        answer in JSON            dialect
[a, b]                          a, b          [A, B]                    plain
npy of two dimensions or more   its rows      [A, B]                    plain
any other JSON                  that value    A                         plain
{"instances": [a, b]}           a, b          {"predictions": [A, B]}   tensorflow_serving
{"inputs": [a, b]}              a, b          [A, B]                    hugging_face
{"inputs": a}                   a             [A]                       hugging_face
"""
