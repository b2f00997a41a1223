# How the settings of the mount are to those of the dump, $copy: the same; others, and
# those of the dump are a new mount's ("own"), or those of the mount are ("new"); other.
include "settings";
(.data | settings) as $have
| if $have == ($copy[0] | settings) then "same"
  elif ($copy[0] | settings) == ({} | settings) then "own" elif $have == ({} | settings) then "new" else "other" end
