// What kinds say of the way to their source.
{
  // target is host and port of the URL of an HTTP service, as a unit's connects has
  // them. The program reads the URL, as it does those of the documents.
  target(url):: local endpoint = std.native('endpoint')(url); { host: endpoint.host, port: endpoint.port },

  // limits is what the plan says of a source whose password and data may be read
  // on their way, with the reason that the state gives for it.
  limits(source)::
    local http = std.startsWith(std.get(source, 'endpoint', std.get(source, 'address', '')), 'http://');
    local excuse = if http then std.get(source, 'plainHttp') else std.get(source, 'plainText');
    if excuse == null then [] else ['the password and the data may cross the network in plain text: ' + excuse.reason],
}
