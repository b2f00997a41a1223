# Makes items of statements: each role with all that is said of it, each membership, and
# each other statement. Needs role-name.awk.
$0 != "" {
  item = $0
  if (/^(CREATE|ALTER) ROLE /) item = "ROLE " name(substr($0, index($0, " ROLE ") + 6))
  else if (/^COMMENT ON ROLE /) item = "ROLE " name(substr($0, 17))
  else { sub(/;$/, "", item); sub(/ WITH (ADMIN|INHERIT|SET) .*$/, "", item) }
  if (!(item in number)) { number[item] = ++n; print item }
  text[number[item]] = text[number[item]] number[item] "\t" $0 "\n"
}
END { printf "" >blocks; for (i = 1; i <= n; i++) printf "%s", text[i] >blocks }
