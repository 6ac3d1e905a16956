"""TF Serving's protocol for any SavedModel: it imports nothing of tfdrift but `errors`. Needs the extra `serve`.

loading        one version in memory, run as TF Serving runs it
versions       the versions of a model on disk
served_models  the models of a server while it runs
configuration  which models a server is to serve
batching       requests that come together are answered together
inference      what a server says of its models
examples       classify, regress and several at once, of tf.Examples
grpc_api       the gRPC services
rest_api       the REST interface
json_arrays    arrays of numbers in JSON, without an object for each number
json_tensors   tensors in REST's JSON
json_examples  tf.Examples and their answers in it
refusal        why a request gets no answer
monitoring     counts and times under TF Serving's names
server         the embedded server
engine         TF Serving's own program, or the embedded server
client         a client for either, over gRPC
extra          whether the extra `serve` is installed
"""
