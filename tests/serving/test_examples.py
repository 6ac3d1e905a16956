import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tests.serving.tiny_models import save_estimator
from tfdrift.serving.examples import CLASSIFY, REGRESS, infer, multi_infer, serialised_examples
from tfdrift.serving.inference import Inference
from tfdrift.serving.monitoring import Monitoring
from tfdrift.serving.refusal import Refusal
from tfdrift.serving.versions import VersionedModel


@pytest.fixture(scope="module")
def inference(tmp_path_factory) -> Inference:
    base = tmp_path_factory.mktemp("estimator")
    save_estimator(base / "5")
    model = VersionedModel("m", base, lambda _line: None)
    model.look(at_once=True)
    return Inference({"m": model}, Monitoring())


def example(**features: float) -> tf.train.Example:
    found = tf.train.Example()
    for name, value in features.items():
        found.features.feature[name].float_list.value.append(value)
    return found


def examples(*found: tf.train.Example) -> Input:
    return Input(example_list={"examples": found})


TWO = examples(example(x=1, y=2), example(x=3, y=4))


def ask(inference, signature, method, given=TWO):
    return infer(inference, ModelSpec(name="m", signature_name=signature), given, method)


@pytest.mark.parametrize(("signature", "values"), [("", [3, 7]), ("column", [1, 3])])
def test_a_regression_has_a_value_for_each_example(inference, signature, values):
    answered, result = ask(inference, signature, REGRESS)
    assert [one.value for one in result.regressions] == values
    assert (answered.version.value, answered.signature_name) == (5, signature or "serving_default")


@pytest.mark.parametrize(
    ("signature", "first"),
    [("classes", [("low", 1), ("high", 2)]), ("scores", [("", 1), ("", 2)]), ("labels", [("low", 0), ("high", 0)])],
)
def test_a_classification_has_a_label_and_a_score_for_each_class(inference, signature, first):
    _, result = ask(inference, signature, CLASSIFY)
    assert len(result.classifications) == 2
    assert [(one.label, one.score) for one in result.classifications[0].classes] == first


def test_a_context_holds_for_every_example_and_what_the_example_says_goes_before_it(inference):
    context = {"context": example(y=20), "examples": [example(x=1), example(x=2, y=5)]}
    _, result = ask(inference, "", REGRESS, Input(example_list_with_context=context))
    assert [one.value for one in result.regressions] == [21, 7]


@pytest.mark.parametrize(
    ("signature", "method", "code", "message"),
    [
        ("none", REGRESS, "INVALID_ARGUMENT", "No signature was found with the name: none"),
        ("", CLASSIFY, "INVALID_ARGUMENT", f"method_name to be {CLASSIFY}. Was: {REGRESS}"),
        ("predict", REGRESS, "INVALID_ARGUMENT", "Was: tensorflow/serving/predict"),
        ("wide", REGRESS, "INVALID_ARGUMENT", "to be either [batch_size] or [batch_size, 1] but got [2, 2]"),
    ],
)
def test_a_signature_that_answers_something_else_is_refused_in_tf_servings_words(
    inference, signature, method, code, message
):
    with pytest.raises(Refusal) as refused:
        ask(inference, signature, method)
    assert refused.value.code is grpc.StatusCode[code]
    assert message in refused.value.message


@pytest.mark.parametrize("given", [Input(), examples(), Input(example_list_with_context={"context": example(x=1)})])
def test_a_request_without_examples_is_refused(given):
    with pytest.raises(Refusal, match=r"Input is empty\."):
        serialised_examples(given)


def test_an_example_without_what_the_graph_needs_is_the_clients_error(inference):
    with pytest.raises(Refusal) as refused:
        ask(inference, "", REGRESS, examples(example(y=1)))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


def tasks(*wanted) -> MultiInferenceRequest:
    return MultiInferenceRequest(
        tasks=[
            {"model_spec": {"name": name, "signature_name": signature}, "method_name": method}
            for name, signature, method in wanted
        ],
        input=TWO,
    )


def test_several_signatures_answer_at_once_as_each_does_alone(inference):
    wanted = [("m", "", REGRESS), ("m", "classes", CLASSIFY), ("m", "column", REGRESS)]
    response = multi_infer(inference, tasks(*wanted))
    for answer, (_, signature, method) in zip(response.results, wanted, strict=True):
        answered, result = ask(inference, signature, method)
        kind = "regression_result" if method == REGRESS else "classification_result"
        assert answer.WhichOneof("result") == kind
        assert (answer.model_spec, getattr(answer, kind)) == (answered, result)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([], "Missing ModelSpec"),
        ([("m", "", REGRESS), ("", "column", REGRESS)], "Found ModelSpec with an empty model name"),
        ([("m", "", REGRESS), ("n", "column", REGRESS)], "must access the same model name"),
        ([("m", "", REGRESS), ("m", "serving_default", REGRESS)], "Duplicate evaluation of signature: serving_default"),
        ([("m", "none", REGRESS)], "Requested signature not found in model graph: none"),
        ([("m", "predict", "tensorflow/serving/predict")], "Unsupported signature method_name"),
        ([("m", "classes", REGRESS)], f"Was: {CLASSIFY}"),
    ],
)
def test_tasks_that_do_not_go_together_are_refused_in_tf_servings_words(inference, wanted, message):
    with pytest.raises(Refusal, match=message):
        multi_infer(inference, tasks(*wanted))
