# What of restic's messages is none of an entry.
. as $line | (fromjson? // null) | if type != "object" then $line
elif .message_type == "error" or .message_type == "exit_error" then empty else $line end
