# How many entries a walk found of each class; fails if it did not come to its end.
$0 == "end" { whole = 1; next }
{ n[$0]++ }
END { for (class in n) print class, n[class]; exit !whole }
