// The load that a client makes, and what it measured: the same for gRPC and HTTP.
//
// A client is one camera: a thread (several with --in-flight) that asks again as soon as it has its
// answer (closed loop, rate 0), or at the times of a schedule (fixed rate). Latency at a fixed rate
// counts from the time that the schedule names, not from the time the request got away: a server
// that stalls for a second cannot hide the frames that waited meanwhile (coordinated omission).

#pragma once

#include <memory>
#include <string>
#include <vector>

namespace load {

struct Options {
  std::string address;               // host:port, or unix:PATH (gRPC only)
  std::string method;                // /package.Service/Method, or the path of a URL
  std::string frames;                // folder of image files, or of raw pixels with `shape`
  std::string requests;              // folder of request bodies, sent as they are
  std::vector<int> shape;            // of raw pixels: height, width, channels
  std::vector<std::string> cameras;  // client i names camera i modulo their number
  std::vector<double> rates;         // a second, by client likewise; 0 is a closed loop
  std::vector<std::string> headers;  // name:value, sent with every request
  std::string line;
  std::string type = "application/octet-stream";  // HTTP Content-Type
  int clients = 1;
  int in_flight = 1;  // requests under way at once for each client
  int channels = 0;   // connections; 0: one for each client, as each camera has its own
  double seconds = 2;
  double warm = 0.3;  // seconds of unmeasured load before
  double timeout = 60;
  bool is_stream = false;
};

// One connection's way to ask; used by one thread at a time.
class Caller {
 public:
  virtual ~Caller() = default;
  // Whether request `number` (modulo those there are) was answered.
  virtual bool ask(size_t number) = 0;
};

// What opens callers; `client` selects the camera and the connection.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::unique_ptr<Caller> open(int client) = 0;
};

// Options from the command line; ends the process with a sentence when they are wrong.
Options parse(int argc, char** argv);

// Contents of a folder's files, in the order of their names.
std::vector<std::string> read_folder(const std::string& path);

// One of `values` for a client; `otherwise` when there is none.
template <typename T>
T of_client(const std::vector<T>& values, int client, T otherwise) {
  return values.empty() ? otherwise : values[client % values.size()];
}

// Make the load and print one line of JSON; gives the exit status.
int run(const Options& options, Transport& transport);

}  // namespace load
