// What kinds say of the way to their source.
{
  // target reads host and port of a URL, which the schema has checked:
  // "https://host", "http://host:8200/path", "https://[2001:db8::1]:8443".
  target(url)::
    local authority = std.split(url, '/')[2];
    local bracket = std.split(authority, ']');
    local host = if std.length(bracket) > 1 then bracket[0][1:] else std.split(authority, ':')[0];
    local port = std.split(bracket[std.length(bracket) - 1], ':');
    {
      host: host,
      port: if std.length(port) > 1 then std.parseInt(port[1]) else if std.startsWith(url, 'http://') then 80 else 443,
    },

  // limits is what the plan says of a source whose password and data may be read
  // on their way, with the reason that the state gives for it.
  limits(source)::
    local http = std.startsWith(std.get(source, 'endpoint', std.get(source, 'address', '')), 'http://');
    local excuse = if http then std.get(source, 'plainHttp') else std.get(source, 'plainText');
    if excuse == null then [] else ['the password and the data may cross the network in plain text: ' + excuse.reason],
}
