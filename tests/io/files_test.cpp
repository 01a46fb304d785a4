#include "unireplk/io/files.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "support/catch.h"
#include "support/temporary_folder.h"
#include "unireplk/core/error.h"

using namespace unireplk;
using namespace unireplk::io;
using unireplk::test::TemporaryFolder;

namespace {

size_t num_entries(const std::filesystem::path& folder) {
  const std::filesystem::directory_iterator begin(folder);
  return static_cast<size_t>(std::distance(begin, std::filesystem::directory_iterator()));
}

}  // namespace

TEST_CASE("write_file_atomically: writes, replaces and leaves nothing else") {
  const TemporaryFolder folder;
  const auto path = folder / "state.json";
  write_file_atomically(path, "old");
  write_file_atomically(path, std::string("new\0\n", 5));
  CHECK(read_file(path) == std::string("new\0\n", 5));
  CHECK(num_entries(folder.path()) == 1);
}

TEST_CASE("AtomicFile: without commit the old content stays") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("half");
    CHECK(read_file(folder / "a") == "old");
    CHECK(num_entries(folder.path()) == 2);
  }
  CHECK(read_file(folder / "a") == "old");
  CHECK(num_entries(folder.path()) == 1);
}

TEST_CASE("AtomicFile: two writers of one file do not meet") {
  const TemporaryFolder folder;
  AtomicFile first(folder / "a");
  AtomicFile second(folder / "a");
  first.write("first");
  second.write("second");
  second.commit();
  first.commit();
  CHECK(read_file(folder / "a") == "first");
  CHECK_THROWS_AS(first.write("more"), ContractError);
}

TEST_CASE("write_file_atomically: says what is wrong with the place") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(write_file_atomically(folder / "missing" / "a", "x"), UserError);
  CHECK_THROWS_WITH(write_file_atomically(folder / "missing" / "a", "x"),
                    Catch::StartsWith((folder / "missing" / "a").string()) &&
                        Catch::Contains("cannot write the file: No such file or directory. Check the path."));
  write_file_atomically(folder / "file", "x");
  CHECK_THROWS_WITH(write_file_atomically(folder / "file" / "a", "x"), Catch::Contains("Not a directory"));
  std::filesystem::create_directory(folder / "taken");
  CHECK_THROWS_WITH(write_file_atomically(folder / "taken", "x"), Catch::Contains("cannot put the file in place"));
  CHECK(num_entries(folder.path()) == 2);
}

TEST_CASE("write_file_atomically: a folder without permission is named with its cure") {
  if (geteuid() == 0) {
    WARN("SKIPPED: root may write everywhere");
    return;
  }
  const TemporaryFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  CHECK_THROWS_WITH(write_file_atomically(folder / "a", "x"), Catch::Contains("Permission denied. Choose a place"));
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
}

TEST_CASE("AtomicFile: a disk that takes no more removes the temporary and says so") {
  const TemporaryFolder folder;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {  // a file size limit stands for a full disk: write() fails half-way
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 1000, .rlim_max = 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file_atomically(folder / "a", std::string(5000, 'x'));
      _exit(1);
    } catch (const UserError& error) {
      _exit(std::string(error.what()).find("cannot write the file: File too large") == std::string::npos ? 2 : 0);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(num_entries(folder.path()) == 0);
}

TEST_CASE("throw_system_error: a full disk is named with its cure") {
  CHECK_THROWS_WITH(throw_system_error("/data/x", "write the file", ENOSPC),
                    "/data/x: cannot write the file: No space left on device. "
                    "Free space on that disk or choose another folder.");
}

TEST_CASE("read_file: says what it cannot read") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_file(folder / "a"), Catch::Contains("cannot open the file: No such file or directory"));
  CHECK_THROWS_WITH(read_file(folder.path()), Catch::Contains("Is a directory"));
  CHECK_THROWS_WITH(read_file("/dev/null"), Catch::Contains("expected a regular file"));
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_file(folder / "pipe"), Catch::Contains("expected a regular file"));  // at once: nobody writes
  write_file_atomically(folder / "a", "12345");
  CHECK(read_file(folder / "a", 5) == "12345");
  CHECK_THROWS_WITH(read_file(folder / "a", 4), Catch::Contains("expected at most 4 bytes, got 5"));
}

TEST_CASE("InputFile: reads anywhere, and not beyond the end") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "0123456789");
  const InputFile file(folder / "a");
  std::string three(3, ' ');
  file.read(7, std::as_writable_bytes(std::span(three)));
  CHECK(three == "789");
  CHECK_THROWS_WITH(file.read(8, std::as_writable_bytes(std::span(three))),
                    Catch::Contains("the file ends at byte 10, expected 1 more"));
}

TEST_CASE("publish_folder: moves a folder, and never onto another") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "new");
  write_file_atomically(folder / "new" / "a", "x");
  publish_folder(folder / "new", folder / "step_1");
  CHECK(read_file(folder / "step_1" / "a") == "x");
  CHECK_FALSE(std::filesystem::exists(folder / "new"));

  std::filesystem::create_directory(folder / "new");
  std::filesystem::create_directory(folder / "empty");
  CHECK_THROWS_WITH(publish_folder(folder / "new", folder / "empty"),
                    Catch::Contains("cannot put the folder in place: File exists"));
  CHECK_THROWS_AS(publish_folder(folder / "nothing", folder / "b"), UserError);
}

TEST_CASE("read_lines: line ends of both kinds, no empty lines at the end, UTF-8 only") {
  const TemporaryFolder folder;
  const auto path = folder / "lines.txt";
  const auto lines = [&](const std::string& text) {
    write_file_atomically(path, text);
    return read_lines(path);
  };
  CHECK(lines("a\r\n\nb c\nd").size() == 4);
  CHECK(lines("a\r\n\nb c\n\n\n") == std::vector<std::string>{"a", "", "b c"});
  CHECK(lines("").empty());
  CHECK_THROWS_WITH(lines("a\n\xff\n"), Catch::Matchers::Contains("lines.txt: expected text in UTF-8"));
}
