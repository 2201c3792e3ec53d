"""What is kept by content is asked for once, and never given to arguments that hold something else."""

from record.by_content import by_content


def test_equal_content_is_worked_out_once_and_what_differs_only_by_its_type_apart():
    asked = []

    @by_content
    def word(section, key="k"):
        asked.append(section)
        return f"{key}={section}"

    assert [word({"a": [1, 2]}), word({"a": [1, 2]})] == ["k={'a': [1, 2]}"] * 2 and len(asked) == 1
    assert [word({"a": 1}), word({"a": 1.0}), word({"a": True})] == ["k={'a': 1}", "k={'a': 1.0}", "k={'a': True}"]
    assert word({"a": 1}, key="other") == "other={'a': 1}" and len(asked) == 5


def test_a_section_that_is_changed_after_it_was_asked_for_is_asked_for_anew():
    section = {"a": 1}
    total = by_content(lambda numbers: sum(numbers.values()))
    assert total(section) == 1
    section["b"] = 2
    assert total(section) == 3
