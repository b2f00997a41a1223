# A secret as the dump has it, of the answer that has its value; $status is that answer's.
# $metadata is the answer about its versions, and $alive the one with its latest living
# version, if the latest one was deleted.
.[0] | if (.errors // [] | length) > 0 then error("the server reports errors")
elif ($metadata[0].data.versions | type) != "object" then error("no metadata")
elif $status == "200" and (.data.data | type) == "object" then
  { path: $path[0], data: .data.data, version: .data.metadata, metadata: $metadata[0].data }
elif $status == "404" and ((.data.metadata.deletion_time // "") != "" or .data.metadata.destroyed == true) then
  if ($alive | length) == 0 then { path: $path[0], deleted: true, version: .data.metadata, metadata: $metadata[0].data }
  elif ($alive[0].data.data | type) == "object" then
    { path: $path[0], deleted: true, data: $alive[0].data.data, version: $alive[0].data.metadata, metadata: $metadata[0].data }
  else error("no value") end
elif $status == "404" and ($metadata[0].data.current_version == 0) then
  { path: $path[0], deleted: true, metadata: $metadata[0].data }
else error("neither a value nor a deleted one")
end
