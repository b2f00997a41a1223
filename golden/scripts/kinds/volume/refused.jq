# The entries that restic could not write, and why, of its messages.
def plain: gsub("[\u0000-\u001f\u007f]"; "?");
(fromjson? // empty) | objects | select(.message_type == "error")
| "\(.item // "" | plain)\t\(.error.message? // "restic does not say why" | plain)"
