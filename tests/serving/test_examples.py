import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tests.serving.tiny_models import save_estimator, save_tf_examples
from tfdrift.serving.examples import CLASSIFY, REGRESS, infer, multi_infer, serialised_examples
from tfdrift.serving.inference import Inference
from tfdrift.serving.monitoring import Monitoring
from tfdrift.serving.refusal import Refusal
from tfdrift.serving.versions import VersionedModel


def loaded(base, save) -> VersionedModel:
    save(base / "5")
    model = VersionedModel("m", base, lambda _line: None)
    model.look(at_once=True)
    return model


@pytest.fixture(scope="module")
def estimator(tmp_path_factory) -> VersionedModel:
    return loaded(tmp_path_factory.mktemp("estimator"), save_estimator)


@pytest.fixture
def inference(estimator) -> Inference:
    return Inference({"m": estimator}, Monitoring())


@pytest.fixture
def strict(estimator) -> Inference:
    """One that asks for the right method names."""
    return Inference({"m": estimator}, Monitoring(), checks_method_names=True)


@pytest.fixture(scope="module")
def of_tf2(tmp_path_factory) -> Inference:
    return Inference({"m": loaded(tmp_path_factory.mktemp("tf2"), save_tf_examples)}, Monitoring())


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


@pytest.mark.parametrize(("signature", "values"), [("", [3, 7]), ("column", [1, 3]), ("predict", [3, 7])])
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
        ("", CLASSIFY, "FAILED_PRECONDITION", 'to contain at least one of "classes" or "scores"'),
        ("classes", REGRESS, "INVALID_ARGUMENT", "Expected one output Tensor."),
        ("scores", REGRESS, "FAILED_PRECONDITION", "No regression outputs found in SignatureDef"),
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


@pytest.mark.parametrize(
    ("signature", "method", "was"),
    [("", CLASSIFY, REGRESS), ("classes", REGRESS, CLASSIFY), ("predict", REGRESS, "tensorflow/serving/predict")],
)
def test_a_signature_of_another_method_name_is_refused_where_that_is_checked(strict, signature, method, was):
    with pytest.raises(Refusal) as refused:
        ask(strict, signature, method)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.message.endswith(f"signature method_name to be {method}. Was: {was}")


@pytest.mark.parametrize(("signature", "method"), [("", REGRESS), ("classes", CLASSIFY)])
def test_a_signature_of_the_right_method_name_answers_where_that_is_checked(inference, strict, signature, method):
    assert ask(strict, signature, method) == ask(inference, signature, method)


def test_a_signature_of_tensorflow_2_classifies_by_its_name(of_tf2):
    answered, result = ask(of_tf2, "serve_tf_examples", CLASSIFY)
    assert answered.signature_name == "serve_tf_examples"
    assert [[(one.label, one.score) for one in found.classes] for found in result.classifications] == [
        [("low", 1), ("high", 2)],
        [("low", 3), ("high", 6)],
    ]


def test_a_signature_of_tensorflow_2_regresses_by_its_name(of_tf2):
    _, result = ask(of_tf2, "regress_tf_examples", REGRESS)
    assert [one.value for one in result.regressions] == [2, 6]


def test_an_input_of_another_name_is_none_of_these_methods(of_tf2):
    with pytest.raises(Refusal) as refused:
        ask(of_tf2, "named_otherwise", REGRESS)
    assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.message.startswith("No regression inputs found in SignatureDef")


@pytest.mark.parametrize(("method", "kind"), [(CLASSIFY, "classification"), (REGRESS, "regression")])
def test_the_default_signature_is_asked_where_none_is_named(of_tf2, method, kind):
    with pytest.raises(Refusal, match=f"No {kind} inputs found in SignatureDef"):
        ask(of_tf2, "", method)


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


def test_a_signature_of_tensorflow_2_answers_a_task(of_tf2):
    response = multi_infer(of_tf2, tasks(("m", "serve_tf_examples", CLASSIFY)))
    assert response.results[0].classification_result == ask(of_tf2, "serve_tf_examples", CLASSIFY)[1]


def test_signatures_of_tensorflow_2_have_inputs_of_their_own_and_do_not_go_together(of_tf2):
    both = tasks(("m", "serve_tf_examples", CLASSIFY), ("m", "regress_tf_examples", REGRESS))
    with pytest.raises(Refusal, match=r"Input tensor must be the same for all Signatures\."):
        multi_infer(of_tf2, both)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([], "Missing ModelSpec"),
        ([("m", "", REGRESS), ("", "column", REGRESS)], "Found ModelSpec with an empty model name"),
        ([("m", "", REGRESS), ("n", "column", REGRESS)], "must access the same model name"),
        ([("m", "", REGRESS), ("m", "serving_default", REGRESS)], "Duplicate evaluation of signature: serving_default"),
        ([("m", "none", REGRESS)], "Requested signature not found in model graph: none"),
        ([("m", "predict", "tensorflow/serving/predict")], "Unsupported signature method_name"),
        ([("m", "classes", REGRESS)], r"Expected one output Tensor\."),
    ],
)
def test_tasks_that_do_not_go_together_are_refused_in_tf_servings_words(inference, wanted, message):
    with pytest.raises(Refusal, match=message):
        multi_infer(inference, tasks(*wanted))
