# Which of the paths that must have a value have none in the dump.
.secrets as $have
| (env.SM_EXPECT_PATHS // "") | split("\n") | map(select(test("[^[:space:]]")) | gsub("^/+"; "")) | unique[]
| if $have[.].deleted == true or ($have[.].data // {} | length) == 0 then "\(.) has no value" else empty end
