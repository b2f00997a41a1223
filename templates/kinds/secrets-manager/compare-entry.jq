# Of the value and of the settings of a path, whether those that are there are the same as
# the copy's, and else: absent, newer or older. $entry is the secret of the dump, $there the
# answer about its versions, and $dead says whether its latest version is a deleted one.
include "settings";
$entry[0].value as $copy
| (($there[0].data | settings) == ($copy.metadata | settings)) as $settled
| (if ($copy | has("data") | not) then (if $there[0].data == null then "absent" else "same" end)
   elif $dead == "true" and (.data.data? | type) != "object" then "absent"
   elif .data.data == $copy.data and ($dead == "true") == ($copy.deleted == true) then "same"
   elif $dead == "true" then "absent"
   elif (.data.metadata.created_time | instant) > ($copy.version.created_time | instant) then "newer"
   else "older" end) as $verdict
| (if $settled then "same"
   elif $there[0].data == null or $verdict == "absent" then "absent"
   elif ($there[0].data.updated_time | instant) > ($copy.metadata.updated_time | instant) then "newer"
   else "older" end) as $settings
| $verdict + " " + $settings
