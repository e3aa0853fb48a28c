from narsfast.cli._tables import print_table


def test_numbers_stand_to_the_right(capsys):
    print_table("t", [{"name": "a", "count": 1_000}, {"name": "bb", "count": 20}])
    out = capsys.readouterr().out
    assert "1,000 │" in out
    assert "   20 │" in out
    assert "│ a  " in out


def test_square_brackets_are_shown_as_they_are(capsys):
    print_table("to runs/[new]", [{"name": "pip install 'narsfast[onnx]'", "files": "runs/[old]/a"}])
    out = capsys.readouterr().out
    assert "narsfast[onnx]" in out
    assert "runs/[old]/a" in out
    assert "to runs/[new]" in out
