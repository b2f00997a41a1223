# told(CODE, STATE, TEXT): why an item is missing, for people: the text of an error only
# where it tells names and nothing of rows.
function told(code, state, text) {
  if (code ~ /^(1005|1030|1044|1049|1050|1051|1054|1071|1072|1115|1118|1142|1146|1227|1235|1273|1286|1305|1356|1418|1419|1449|1524|1698|1814|4025|4084)$/) return text
  return "error " code " (" state ")"
}
