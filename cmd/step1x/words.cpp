#include "words.hpp"

#include <algorithm>
#include <filesystem>

#include "config/nearest.hpp"

namespace step1x::cli {
namespace {

// A word as the parser takes it: --name=value, or -n with the rest of its word.
struct Flag {
  bool is_long = false;
  std::string name;
  std::string rest;

  std::string shown() const { return (is_long ? "--" : "-") + name; }
};

std::optional<Flag> flag_of_word(const std::string& word) {
  Flag flag;
  flag.is_long = CLI::detail::split_long(word, flag.name, flag.rest);
  if (flag.is_long || CLI::detail::split_short(word, flag.name, flag.rest)) return flag;
  return std::nullopt;
}

const CLI::Option* find_option(const CLI::App& app, const Flag& flag) {
  const auto all = app.get_options([&](const CLI::Option* option) {
    return flag.is_long ? option->check_lname(flag.name) : option->check_sname(flag.name);
  });
  return all.empty() ? nullptr : all.front();
}

bool is_file(const std::string& word) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(word, ignored));
}

std::string name_of(const CLI::App& app) {
  const std::string above = app.get_parent() == nullptr ? "" : name_of(*app.get_parent()) + " ";
  return above + app.get_name();
}

std::vector<const CLI::App*> below(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

// What may be typed after `app`, and what is meant by it: its own commands, and then those of all groups by their last
// word.
struct Candidates {
  std::vector<std::string> typed;
  std::vector<std::string> meant;

  void add(const CLI::App& app, const std::string& group) {
    for (const CLI::App* command : below(app)) {
      typed.push_back(command->get_name());
      meant.push_back(group + command->get_name());
    }
  }
};

Candidates commands_after(const CLI::App& app) {
  const CLI::App* root = &app;
  while (root->get_parent() != nullptr) root = root->get_parent();
  Candidates all;
  all.add(app, root == &app ? "" : app.get_name() + " ");
  for (const CLI::App* group : below(*root)) {
    if (group != &app) all.add(*group, group->get_name() + " ");
  }
  return all;
}

std::string unknown_command(const CLI::App& app, const std::string& word) {
  const Candidates all = commands_after(app);
  const auto near = config::nearest(word, all.typed);
  return fmt::format("there is no command '{}{}'{}", app.get_parent() == nullptr ? "" : app.get_name() + " ", word,
                     near ? fmt::format(": did you mean '{}'?", all.meant[*near]) : "");
}

std::string unknown_flag(const CLI::App& app, const Flag& flag) {
  std::vector<std::string> known;
  // One letter is near to every other.
  if (flag.is_long) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back(name);
    }
  }
  const auto near = config::nearest(flag.name, known);
  return fmt::format("there is no option '{}'{}", flag.shown(),
                     near ? fmt::format(": did you mean '--{}'?", known[*near]) : "");
}

// Goes along the words with what the parser would know at each.
class Walk {
 public:
  Walk(const CLI::App& app, const std::vector<std::string>& words) : app_(&app), words_(words) {}

  Words run() {
    while (at_ < words_.size()) take(words_[at_++]);
    return {name_of(*app_), std::move(parsed_), json_, help_ ? std::nullopt : std::move(problem_)};
  }

 private:
  void take(const std::string& word) {
    if (ended_) return parsed_.push_back(word);
    if (positional_only_) return take_positional(word);
    if (word == "--") {
      positional_only_ = true;
      if (!written_out()) parsed_.push_back(word);
      return;
    }
    const std::optional<Flag> flag = known_as_flag(word);
    if (flag) return take_flag(word, *flag);
    const auto commands = below(*app_);
    if (commands.empty()) return take_positional(word);
    parsed_.push_back(word);
    const auto found = std::ranges::find(commands, word, [](const CLI::App* command) { return command->get_name(); });
    if (found == commands.end()) return wrong(unknown_command(*app_, word));
    app_ = *found;
  }

  // The parser takes -5 for a word like others where there is no such flag.
  std::optional<Flag> known_as_flag(const std::string& word) const {
    std::optional<Flag> flag = flag_of_word(word);
    const bool digit = flag && !flag->is_long && flag->name[0] >= '0' && flag->name[0] <= '9';
    if (digit && find_option(*app_, *flag) == nullptr) return std::nullopt;
    return flag;
  }

  void take_flag(const std::string& word, Flag flag) {
    parsed_.push_back(word);
    // A pattern of the shell's, *.jpg, puts such names on the command line where nobody sees them, and -photo.jpg would
    // be a prompt.
    const bool whole = find_option(*app_, flag) != nullptr && (flag.is_long || flag.rest.empty());
    if (!whole && is_file(word)) {
      return wrong(fmt::format(
          "'{}' is taken for an option, and there is a file of that name: write './{}' for the file", word, word));
    }
    for (;;) {
      const CLI::Option* option = find_option(*app_, flag);
      if (option == nullptr) return wrong(unknown_flag(*app_, flag));
      help_ = help_ || option == app_->get_help_ptr();
      json_ = json_ || option->check_lname("json");
      if (option->get_items_expected_max() > 0) return take_value(*option, flag);
      // -qv is -q -v.
      if (flag.is_long || flag.rest.empty()) return;
      flag = {false, flag.rest.substr(0, 1), flag.rest.substr(1)};
    }
  }

  void take_value(const CLI::Option& option, const Flag& flag) {
    placed_ = placed_ || option.get_positional();
    if (!flag.rest.empty() || at_ == words_.size()) return;
    const std::string& value = words_[at_];
    const std::optional<Flag> other = known_as_flag(value);
    if (option.get_items_expected_min() == 0 && (other || value == "--")) return;
    ++at_;
    parsed_.push_back(value);
    // A name that was forgotten: what would be written to is the next option.
    if (names_a_place(option) && other && other->rest.empty() && find_option(*app_, *other) != nullptr) {
      wrong(fmt::format("{} is followed by '{}', which is an option and no name: write './{}' for a file of that name",
                        flag.shown(), value, value));
    }
  }

  static bool names_a_place(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    return type == "FILE" || type == "DIR" || type == "PLACE";
  }

  const CLI::Option* positional() const {
    const auto taking = app_->get_options([](const CLI::Option* option) { return option->get_positional(); });
    return taking.empty() ? nullptr : taking.front();
  }

  void take_positional(const std::string& word) {
    const bool dash = positional_only_ && written_out() && word.starts_with('-') && word != "-";
    parsed_.push_back(dash ? "./" + word : word);
    placed_ = true;
    // What follows is another command's.
    ended_ = app_->get_positionals_at_end();
    if (positional() == nullptr)
      wrong(fmt::format("'{}' is one word too many: {} takes none but options", word, name_of(*app_)));
  }

  // Behind -- the parser takes names that begin with a dash only where it has no name yet. Where it has, they are
  // written so that it needs no -- for them.
  bool written_out() {
    if (!written_out_) {
      const CLI::Option* names = positional();
      written_out_ = placed_ && names != nullptr && names->get_allow_extra_args() && !app_->get_positionals_at_end();
    }
    return *written_out_;
  }

  void wrong(std::string problem) {
    if (!problem_) problem_ = std::move(problem);
  }

  const CLI::App* app_;
  const std::vector<std::string>& words_;
  std::size_t at_ = 0;
  std::vector<std::string> parsed_;
  bool positional_only_ = false;
  std::optional<bool> written_out_;  // decided where the -- is
  bool placed_ = false;              // a name was given
  bool ended_ = false;
  bool help_ = false;
  bool json_ = false;
  std::optional<std::string> problem_;
};

}  // namespace

Words look_through(const CLI::App& app, const std::vector<std::string>& words) {
  return Walk(app, words).run();
}

std::string with_help(const std::string& problem, const std::string& command) {
  return fmt::format("{}{} See: {} --help", problem, problem.ends_with('?') ? "" : ".", command);
}

}  // namespace step1x::cli
