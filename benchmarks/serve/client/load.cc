#include "load.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <sstream>
#include <thread>

namespace load {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

Clock::time_point after(Clock::time_point from, double seconds) {
  return from + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

[[noreturn]] void refuse(const std::string& sentence) {
  std::cerr << "load client: " << sentence << "\n";
  std::exit(2);
}

// What one thread measured.
struct Tally {
  std::vector<double> latencies_ms;  // of the answers
  long errors = 0;
  Clock::time_point last{};
};

// What one client's threads share: whose turn is next.
struct Slots {
  std::atomic<long> next{0};
  std::atomic<long> sent{0};
};

// Nearest rank, of sorted values; 0 without any.
double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  size_t rank = static_cast<size_t>(share * sorted.size());
  return sorted[std::min(rank, sorted.size() - 1)];
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto total = [](const timeval& t) { return t.tv_sec + t.tv_usec / 1e6; };
  return total(used.ru_utime) + total(used.ru_stime);
}

// Cameras do not fire together: client i of n begins i/n of an interval later.
double scheduled_s(const Options& options, int client, double rate, long slot) {
  return (slot + static_cast<double>(client) / options.clients) / rate;
}

void closed_loop(const Options& options, int client, Caller& caller, Slots& slots,
                 Clock::time_point begin, Tally& tally) {
  auto end = after(begin, options.seconds);
  while (true) {
    auto started = Clock::now();
    if (started >= end) return;
    bool is_answered = caller.ask(client + slots.next++);
    slots.sent++;
    tally.last = Clock::now();
    if (is_answered)
      tally.latencies_ms.push_back(seconds_between(started, tally.last) * 1000);
    else
      tally.errors++;
  }
}

void fixed_rate(const Options& options, int client, double rate, Caller& caller, Slots& slots,
                Clock::time_point begin, Tally& tally) {
  auto end = after(begin, options.seconds);
  while (true) {
    long slot = slots.next++;
    auto due = after(begin, scheduled_s(options, client, rate, slot));
    if (due >= end || Clock::now() >= end) return;
    std::this_thread::sleep_until(due);
    bool is_answered = caller.ask(client + slot);
    slots.sent++;
    tally.last = Clock::now();
    if (is_answered)
      tally.latencies_ms.push_back(seconds_between(due, tally.last) * 1000);
    else
      tally.errors++;
  }
}

// How many slots a client's schedule has.
long slots_of(const Options& options, int client, double rate) {
  long count = 0;
  while (scheduled_s(options, client, rate, count) < options.seconds) count++;
  return count;
}

std::string latency_json(std::vector<double>& latencies) {
  std::sort(latencies.begin(), latencies.end());
  std::ostringstream out;
  out << "\"p50_ms\": " << percentile(latencies, 0.5)
      << ", \"p90_ms\": " << percentile(latencies, 0.9)
      << ", \"p99_ms\": " << percentile(latencies, 0.99)
      << ", \"p999_ms\": " << percentile(latencies, 0.999)
      << ", \"max_ms\": " << (latencies.empty() ? 0 : latencies.back());
  return out.str();
}

// All threads make load from `begin`; the tallies are client by client, in_flight for each.
std::vector<Tally> make_load(const Options& options, double seconds,
                             std::vector<std::unique_ptr<Caller>>& callers,
                             std::vector<Slots>& slots, Clock::time_point begin) {
  Options timed = options;
  timed.seconds = seconds;
  std::vector<Tally> tallies(callers.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < callers.size(); i++) {
    threads.emplace_back([&, i] {
      int client = static_cast<int>(i) / timed.in_flight;
      double rate = of_client(timed.rates, client, 0.0);
      std::this_thread::sleep_until(begin);
      if (rate > 0)
        fixed_rate(timed, client, rate, *callers[i], slots[client], begin, tallies[i]);
      else
        closed_loop(timed, client, *callers[i], slots[client], begin, tallies[i]);
    });
  }
  for (auto& thread : threads) thread.join();
  return tallies;
}

void print_report(const Options& options, std::vector<Tally>& tallies, std::vector<Slots>& slots,
                  Clock::time_point begin, double cpu_s) {
  std::vector<double> all;
  std::ostringstream by_client;
  long errors = 0, unsent_total = 0;
  auto last = begin;
  for (int client = 0; client < options.clients; client++) {
    std::vector<double> mine;
    long failed = 0;
    for (int i = client * options.in_flight; i < (client + 1) * options.in_flight; i++) {
      mine.insert(mine.end(), tallies[i].latencies_ms.begin(), tallies[i].latencies_ms.end());
      failed += tallies[i].errors;
      last = std::max(last, tallies[i].last);
    }
    double rate = of_client(options.rates, client, 0.0);
    long unsent = rate > 0 ? slots_of(options, client, rate) - slots[client].sent : 0;
    errors += failed;
    unsent_total += unsent;
    all.insert(all.end(), mine.begin(), mine.end());
    by_client << (client ? ", " : "") << "{\"camera\": \""
              << of_client(options.cameras, client, std::string()) << "\", \"rate\": " << rate
              << ", \"answers\": " << mine.size() << ", \"errors\": " << failed
              << ", \"unsent\": " << unsent << ", " << latency_json(mine) << "}";
  }
  double elapsed = seconds_between(begin, last);
  std::ostringstream out;
  out << "{\"clients\": " << options.clients << ", \"in_flight\": " << options.in_flight
      << ", \"answers\": " << all.size() << ", \"errors\": " << errors
      << ", \"unsent\": " << unsent_total << ", \"elapsed_s\": " << elapsed
      << ", \"per_s\": " << (elapsed > 0 ? all.size() / elapsed : 0) << ", " << latency_json(all)
      << ", \"client_cpu_s\": " << cpu_s << ", \"by_client\": [" << by_client.str() << "]}";
  std::cout << out.str() << std::endl;
}

double number(const std::string& name, const std::string& text) {
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end) refuse(name + " " + text + " is no number");
  return value;
}

std::vector<int> shape_of(const std::string& text) {
  std::vector<int> shape;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, 'x');)
    shape.push_back(static_cast<int>(number("--shape", part)));
  return shape;
}

void check(const Options& options) {
  if (options.address.empty()) refuse("--address is missing: host:port");
  if (options.method.empty()) refuse("--method is missing: such as /inspection.v1.Inspection/Inspect");
  if (options.frames.empty() == options.requests.empty())
    refuse("give either --frames (images) or --requests (bodies as they are sent)");
  if (options.clients < 1 || options.in_flight < 1) refuse("--clients and --in-flight begin at 1");
  if (options.is_stream && options.in_flight > 1 )
    refuse("a stream answers in order: --stream goes with --in-flight 1");
}

}  // namespace

Options parse(int argc, char** argv) {
  Options options;
  std::map<std::string, std::string*> texts = {
      {"--address", &options.address},   {"--method", &options.method},
      {"--frames", &options.frames},     {"--requests", &options.requests},
      {"--line", &options.line},         {"--type", &options.type},
  };
  std::map<std::string, int*> counts = {{"--clients", &options.clients},
                                        {"--in-flight", &options.in_flight},
                                        {"--channels", &options.channels}};
  std::map<std::string, double*> numbers = {{"--seconds", &options.seconds},
                                            {"--warm", &options.warm},
                                            {"--timeout", &options.timeout}};
  for (int i = 1; i < argc; i++) {
    std::string name = argv[i];
    if (name == "--stream") {
      options.is_stream = true;
      continue;
    }
    if (i + 1 == argc) refuse(name + " has no value");
    std::string value = argv[++i];
    if (texts.count(name)) *texts[name] = value;
    else if (counts.count(name)) *counts[name] = static_cast<int>(number(name, value));
    else if (numbers.count(name)) *numbers[name] = number(name, value);
    else if (name == "--camera") options.cameras.push_back(value);
    else if (name == "--rate") options.rates.push_back(number(name, value));
    else if (name == "--header") options.headers.push_back(value);
    else if (name == "--shape") options.shape = shape_of(value);
    else refuse("there is no option " + name);
  }
  check(options);
  return options;
}

std::vector<std::string> read_folder(const std::string& path) {
  std::vector<std::filesystem::path> names;
  std::error_code fault;
  for (const auto& entry : std::filesystem::directory_iterator(path, fault))
    names.push_back(entry.path());
  if (names.empty()) refuse(path + " holds no files");
  std::sort(names.begin(), names.end());
  std::vector<std::string> contents;
  for (const auto& name : names) {
    std::ifstream in(name, std::ios::binary);
    contents.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return contents;
}

int run(const Options& options, Transport& transport) {
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < options.clients * options.in_flight; i++)
    callers.push_back(transport.open(i / options.in_flight));
  std::vector<Slots> unmeasured(options.clients), slots(options.clients);
  make_load(options, options.warm, callers, unmeasured, Clock::now());
  double cpu_before = cpu_seconds();
  auto begin = after(Clock::now(), 0.02);
  auto tallies = make_load(options, options.seconds, callers, slots, begin);
  print_report(options, tallies, slots, begin, cpu_seconds() - cpu_before);
  return 0;
}

}  // namespace load
