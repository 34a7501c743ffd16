// SimGrid's side of flows_against_simgrid.py: the same flows over the same paths, fairly shared, without latencies.
//
//     simgrid_flows CASE OUT host|one|none
//
// CASE holds int64 hosts, links, flows, entries; double rate[links]; int64 src[flows], dst[flows], bytes[flows],
// start[flows + 1], link[entries]. OUT receives double seconds of starting the flows, seconds of run(), and the end of
// each flow. Flows are started by one actor a source host, by one actor, or by the main program before it runs.
// Drawing the platform, with every route in it, is not timed.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <simgrid/s4u.hpp>
#include <unistd.h>
#include <vector>

namespace sg = simgrid::s4u;

static double cpu_s()
{
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

template <class T> static std::vector<T> column(FILE* file, size_t length)
{
  std::vector<T> values(length);
  if (fread(values.data(), sizeof(T), length, file) != length) {
    fprintf(stderr, "the case ends early\n");
    exit(2);
  }
  return values;
}

int main(int argc, char** argv)
{
  sg::Engine engine(&argc, argv);
  if (argc < 4) {
    fprintf(stderr, "usage: simgrid_flows CASE OUT host|one|none\n");
    return 2;
  }
  for (const char* option : {"network/model:CM02", "network/TCP-gamma:0", "network/weight-S:0",
                             "network/bandwidth-factor:1", "network/latency-factor:1", "network/crosstraffic:0"})
    sg::Engine::set_config(option);
  FILE* file = fopen(argv[1], "rb");
  if (file == nullptr) {
    fprintf(stderr, "cannot read %s\n", argv[1]);
    return 2;
  }
  const auto sizes = column<int64_t>(file, 4);
  const size_t hosts_count = sizes[0], links_count = sizes[1], flows = sizes[2];
  const auto rate = column<double>(file, links_count);
  const auto src = column<int64_t>(file, flows), dst = column<int64_t>(file, flows);
  const auto bytes = column<int64_t>(file, flows), start = column<int64_t>(file, flows + 1);
  const auto link = column<int64_t>(file, sizes[3]);
  fclose(file);

  auto* zone = engine.get_netzone_root()->add_netzone_full("zone");
  std::vector<sg::Host*> hosts;
  std::vector<sg::Link*> links;
  for (size_t i = 0; i < hosts_count; i++)
    hosts.push_back(zone->add_host("h" + std::to_string(i), 1e9));
  for (size_t i = 0; i < links_count; i++)
    links.push_back(zone->add_link("l" + std::to_string(i), rate[i])->set_latency(0.0));
  std::map<std::pair<int64_t, int64_t>, bool> known;
  for (size_t i = 0; i < flows; i++) {
    if (!known.emplace(std::make_pair(src[i], dst[i]), true).second)
      continue;
    std::vector<sg::LinkInRoute> route;
    for (int64_t k = start[i]; k < start[i + 1]; k++)
      route.emplace_back(links[link[k]]);
    zone->add_route(hosts[src[i]], hosts[dst[i]], route, false);
  }
  zone->seal();

  std::vector<sg::CommPtr> sent(flows);
  auto send = [&](size_t i) { sent[i] = sg::Comm::sendto_async(hosts[src[i]], hosts[dst[i]], bytes[i]); };
  std::map<int64_t, std::vector<size_t>> of_host;
  if (strcmp(argv[3], "host") == 0) {
    for (size_t i = 0; i < flows; i++)
      of_host[src[i]].push_back(i);
    for (auto& [host, own] : of_host)
      hosts[host]->add_actor("a", [own = &own, &send]() {
        for (size_t i : *own)
          send(i);
      });
  } else if (strcmp(argv[3], "one") == 0) {
    hosts[0]->add_actor("a", [&]() {
      for (size_t i = 0; i < flows; i++)
        send(i);
    });
  }
  const double begin = cpu_s();
  if (strcmp(argv[3], "none") == 0)
    for (size_t i = 0; i < flows; i++)
      send(i);
  const double started = cpu_s();
  engine.run();
  const double ended = cpu_s();

  std::vector<double> out{started - begin, ended - started};
  for (const auto& one : sent)
    out.push_back(one->get_finish_time());
  file = fopen(argv[2], "wb");
  fwrite(out.data(), sizeof(double), out.size(), file);
  fclose(file);
  _exit(0); // a million handles need not be taken down one by one
}
