#include "demo/phrases.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

namespace step1x::demo {

namespace {

using Texts = std::span<const std::string_view>;

// In a pattern, (a|b|c) is one of a, b, c, and each may hold more of that; $ is a name for the picture.
constexpr std::string_view kPicture =
    "(it|this|the image|the picture|the photo|this image|this picture|this photo|my photo|everything|the whole image|"
    "the photograph|the scene|this scene|the shot|the entire picture|this snapshot|the view|the whole thing)";

constexpr std::string_view kBefore = "(||||please |can you |could you please |i want you to |now |just )";
constexpr std::string_view kAfter = "(||||, please| please| now| for me|.|!)";

constexpr std::array<std::string_view, 9> kBlackAndWhite{
    "(make|turn|convert|change|render|paint) $ (|in|to|into) (black and "
    "white|b&w|grayscale|greyscale|monochrome|grey|gray)",
    "(remove|drop|take away|delete|strip) (all |the |)(colors|colours|color|colour) (|from $|of $)",
    "(desaturate|decolorize|decolorise) $",
    "(black and white|grayscale|greyscale|monochrome|b&w|black-and-white) (|version|photo|picture|image|filter|look)",
    "$ in (black and white|grayscale|greyscale|gray|grey|b&w)",
    "(make|turn) $ (colorless|colourless)",
    "(no|without) (colors|colours|color|colour)",
    "get rid of (all |the |)(colors|colours|color|colour) (|of $|in $)",
    "(show|give me|i want) $ in (shades of grey|greyscale|grayscale|black and white|monochrome)",
};
constexpr std::array<std::string_view, 8> kBrighter{
    "(make|turn) $ (brighter|lighter|much brighter|a bit brighter|a lot brighter|more bright|bright)",
    "(brighten|lighten) $ (|up)",
    "(increase|raise|turn up|boost) the (brightness|exposure|light) (|of $|in $)",
    "(brighter|lighter|more light|more brightness|brighten up|more exposure)",
    "(add|give) (more |)(light|brightness) (|to $)",
    "$ is too dark, (brighten|lighten) it",
    "(let there be|i want|there should be|put) more light (|on $|here|everywhere)",
    "(brightness|lightness|light|exposure) (up|higher|increased)",
};
constexpr std::array<std::string_view, 7> kDarker{
    "(make|turn) $ (darker|dimmer|much darker|a bit darker|a lot darker|more dark|dark)",
    "(darken|dim) $ (|down)",
    "(decrease|lower|turn down|reduce) the (brightness|exposure|light) (|of $|in $)",
    "(darker|dimmer|less light|less brightness|darken|less exposure)",
    "(use|with|there should be|i want) less (light|brightness) (|in $)",
    "(brightness|lightness|light|exposure) (down|lower|decreased)",
    "$ is too bright, (darken|dim) it",
};
constexpr std::array<std::string_view, 5> kInvert{
    "(invert|reverse|negate|flip) (the colors|the colours|all colors|all colours|colors|colours) (|of $|in $)",
    "(invert|negate) $",
    "(make|turn|convert|change) $ (|in|to|into) (a negative|negative|an inverted image|inverted)",
    "(negative|inverted colors|inverted colours|inverted|a film negative|photo negative)",
    "$ as a (negative|film negative|photographic negative)",
};
// # is the colour.
constexpr std::array<std::string_view, 7> kTint{
    "(make|turn|paint|color|colour|tint|dye) $ (#|#|#|#ish|all #|completely #|more #|in #)",
    "(add|apply|put|give $) a # (tint|filter|tone|hue|cast|color|colour|overlay) (|to $|on $|over $)",
    "(#|# tint|# filter|# tone|# colors|# light|# hue|tint #)",
    "(change|shift|set) the (color|colour|hue|tint|tone) (|of $) to #",
    "$ in (#|# light|# colors|# tones|shades of #)",
    "(tint|color|colour|bathe|dip) $ (with|in) #",
    "(more|lots of|add) #",
};
constexpr std::array<std::string_view, 5> kSepia{
    "(make|turn|convert|change) $ (|in|to|into) (sepia|sepia tone|a sepia photo|vintage|old-fashioned)",
    "(add|apply|use) (a |)sepia (tone|filter|effect|look|) (|to $)",
    "(sepia|sepia tone|sepia filter|vintage look|old photo look|vintage photo)",
    "(make|let) $ look (old|vintage|aged|like an old photo|like an old photograph)",
    "$ in sepia",
};
constexpr std::array<std::string_view, 5> kContrast{
    "(increase|raise|boost|turn up|enhance) the contrast (|of $|in $)",
    "(make|turn) $ (more contrasty|contrasty|punchier|high contrast)",
    "(more|higher|stronger|add|add more) contrast (|to $)",
    "(high contrast|strong contrast|more contrast please)",
    "(give|add) $ more contrast",
};
constexpr std::array<std::string_view, 5> kBlur{
    "(blur|soften|smooth|defocus) $",
    "(make|turn) $ (blurry|blurred|softer|soft|out of focus|fuzzy|smooth)",
    "(add|apply) (a |some |)(blur|gaussian blur|soft focus|smoothing) (|to $)",
    "(blur|gaussian blur|blurry|blurred|out of focus|soft focus)",
    "put $ out of focus",
};
constexpr std::array<std::string_view, 5> kPixelate{
    "(pixelate|pixelise|pixelize|mosaic) $",
    "(make|turn|convert) $ (|in|to|into) (pixelated|pixels|blocks|a mosaic|pixel art|big pixels)",
    "(add|apply) (a |)(mosaic|pixelation|pixel effect|pixel filter) (|to $)",
    "(pixelate|pixelated|mosaic|pixel art|big pixels|blocky)",
    "(make|let) $ look (pixelated|blocky|like pixel art|like a mosaic)",
};
constexpr std::array<std::string_view, 12> kUnknown{
    "(add|put|draw|insert|place) (a|an|one|another|two|some) (cat|dog|hat|tree|car|bird|person|moustache|house|boat|"
    "flower|cloud|chair|table|balloon|sign) (|to $|on the (left|right|table|wall)|in the "
    "(background|foreground|corner))",
    "(remove|delete|erase|take away|hide) the "
    "(background|person|man|woman|text|logo|sky|car|tree|cat|people|watermark)",
    "(replace|swap) the (sky|background|cat|dog|cup|man|woman|car) with a (beach|forest|mountain|horse|bottle|robot)",
    "(make|turn|convert) $ (|in|to|into) (a watercolor|an oil painting|a sketch|a cartoon|anime|a pencil drawing|lego|"
    "a statue|winter|summer|snow)",
    "(let|make) the (man|woman|cat|dog|person) (smile|run|jump|sleep|dance|laugh|older|younger|taller)",
    "(zoom in|zoom out|crop $|rotate $|resize $|shift $|straighten $|upscale $)",
    "(give|put) the (man|woman|cat|dog|girl|boy) (glasses|a hat|a beard|wings|long hair|a scarf)",
    "(keep|leave) $ (as it is|unchanged|the same|alone)",
    "(do nothing|no change|nothing|change nothing|the same picture)",
    "(write|add) (the text|the word) (hello|sale|welcome|step|open) (|on $|at the top|at the bottom)",
    "(in the style of|as painted by) (van gogh|monet|picasso|a child|hokusai)",
    "",
};

constexpr std::array<std::string_view, 6> kColours{"red",   "green", "blue", "yellow", "(purple|violet|magenta)",
                                                   "orange"};

Texts patterns(Edit edit) {
  switch (edit) {
    case Edit::none:
      return kUnknown;
    case Edit::black_and_white:
      return kBlackAndWhite;
    case Edit::brighter:
      return kBrighter;
    case Edit::darker:
      return kDarker;
    case Edit::invert:
      return kInvert;
    case Edit::sepia:
      return kSepia;
    case Edit::contrast:
      return kContrast;
    case Edit::blur:
      return kBlur;
    case Edit::pixelate:
      return kPixelate;
    default:
      return kTint;
  }
}

std::size_t tint_index(Edit edit) {
  return static_cast<std::size_t>(edit) - static_cast<std::size_t>(Edit::red);
}

// Expands `pattern`, and takes from it what it has expanded: up to its end, or a | or ) of the level above.
std::string expand(std::string_view& pattern, Edit edit, Random& random) {
  std::string text;
  while (!pattern.empty() && pattern.front() != '|' && pattern.front() != ')') {
    const char next = pattern.front();
    pattern.remove_prefix(1);
    if (next == '(') {
      std::vector<std::string> choices{expand(pattern, edit, random)};
      while (pattern.front() == '|') {
        pattern.remove_prefix(1);
        choices.push_back(expand(pattern, edit, random));
      }
      pattern.remove_prefix(1);  // )
      text += choices[random.below(choices.size())];
    } else if (next == '$' || next == '#') {
      std::string_view inner = next == '$' ? kPicture : kColours[tint_index(edit)];
      text += expand(inner, edit, random);
    } else {
      text += next;
    }
  }
  return text;
}

// Words that say which edit is meant; the others may go.
bool is_filler(std::string_view word) {
  constexpr std::array<std::string_view, 22> kFillers{
      "the", "a",    "an",    "it",      "this",  "of", "to",  "in", "please", "can",  "you",
      "now", "just", "image", "picture", "photo", "my", "for", "me", "whole",  "make", "turn"};
  return std::ranges::find(kFillers, word) != kFillers.end();
}

// Words that change nothing, so that unknown ones will not either.
constexpr std::array<std::string_view, 20> kAsides{
    "slightly", "really", "very",    "a bit",   "a little", "somewhat", "overall", "style",  "look",   "effect",
    "version",  "right",  "quickly", "kind of", "here",     "today",    "nicely",  "simply", "entire", "full"};

// One space between words, and some of them gone, or others there.
std::string join(const std::string& text, double dropout, double asides, Random& random) {
  std::istringstream words(text);
  std::string result;
  for (std::string word; words >> word;) {
    if (is_filler(word) && random.chance(dropout)) continue;
    if (random.chance(asides))
      word = std::string(random.one_of(std::span<const std::string_view>(kAsides))) + " " + word;
    if (!result.empty()) result += ' ';
    result += word;
  }
  return result;
}

constexpr std::array<std::string_view, 4> kUnseenBlackAndWhite{
    "make it black and white", "turn this photo into a monochrome one", "i'd like this in black & white",
    "a picture without any colour"};
constexpr std::array<std::string_view, 4> kUnseenBrighter{"increase brightness", "the photo should look lighter",
                                                          "could you brighten this up a bit", "much brighter, please"};
constexpr std::array<std::string_view, 4> kUnseenDarker{"reduce brightness", "the photo should look darker",
                                                        "could you darken this a bit", "much darker, please"};
constexpr std::array<std::string_view, 4> kUnseenInvert{"invert colors", "i want the negative of this photo",
                                                        "make all colours inverted", "invert it, please"};
constexpr std::array<std::string_view, 3> kUnseenRed{"i'd like everything tinted red", "make the photo look red",
                                                     "a red tint, please"};
constexpr std::array<std::string_view, 3> kUnseenGreen{"i'd like everything tinted green", "make the photo look green",
                                                       "a green tint, please"};
constexpr std::array<std::string_view, 3> kUnseenBlue{"i'd like everything tinted blue", "make the photo look blue",
                                                      "a blue tint, please"};
constexpr std::array<std::string_view, 3> kUnseenYellow{"i'd like everything tinted yellow",
                                                        "make the photo look yellow", "a yellow tint, please"};
constexpr std::array<std::string_view, 3> kUnseenPurple{"i'd like everything tinted purple",
                                                        "make the photo look purple", "a purple tint, please"};
constexpr std::array<std::string_view, 3> kUnseenOrange{"i'd like everything tinted orange",
                                                        "make the photo look orange", "a orange tint, please"};
constexpr std::array<std::string_view, 3> kUnseenSepia{"sepia please", "i'd like this in sepia tones",
                                                       "make the photo look like a sepia print"};
constexpr std::array<std::string_view, 3> kUnseenContrast{"boost contrast", "the photo needs more contrast",
                                                          "raise contrast a lot"};
constexpr std::array<std::string_view, 3> kUnseenBlur{"blur everything", "the photo should be blurry",
                                                      "apply a strong blur"};
constexpr std::array<std::string_view, 3> kUnseenPixelate{"pixelate everything", "the photo should look pixelated",
                                                          "turn it into chunky pixels"};
constexpr std::array<std::string_view, 4> kUnseenNone{"add a penguin on the sofa", "remove the fence",
                                                      "make her wear a crown", "turn the cup into a vase"};

}  // namespace

std::string phrase(Edit edit, Random& random) {
  const Texts choices = patterns(edit);
  // Nothing asked for is asked for often: it is what guidance starts from.
  std::string_view before = kBefore;
  std::string_view pattern = edit == Edit::none && random.chance(0.2) ? "" : random.one_of(choices);
  std::string_view after = kAfter;
  if (pattern.empty()) return "";
  std::string text = expand(before, edit, random);
  text += expand(pattern, edit, random);
  text += expand(after, edit, random);
  text = join(text, random.chance(0.5) ? 0.3 : 0, random.chance(0.4) ? 0.2 : 0, random);
  if (random.chance(0.2) && !text.empty() && text.front() >= 'a' && text.front() <= 'z') {
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
  }
  const Texts unseen = unseen_phrases(edit);
  return std::ranges::find(unseen, text) == unseen.end() ? text : phrase(edit, random);
}

Texts unseen_phrases(Edit edit) {
  switch (edit) {
    case Edit::none:
      return kUnseenNone;
    case Edit::black_and_white:
      return kUnseenBlackAndWhite;
    case Edit::brighter:
      return kUnseenBrighter;
    case Edit::darker:
      return kUnseenDarker;
    case Edit::invert:
      return kUnseenInvert;
    case Edit::red:
      return kUnseenRed;
    case Edit::green:
      return kUnseenGreen;
    case Edit::blue:
      return kUnseenBlue;
    case Edit::yellow:
      return kUnseenYellow;
    case Edit::purple:
      return kUnseenPurple;
    case Edit::orange:
      return kUnseenOrange;
    case Edit::sepia:
      return kUnseenSepia;
    case Edit::contrast:
      return kUnseenContrast;
    case Edit::blur:
      return kUnseenBlur;
    default:
      return kUnseenPixelate;
  }
}

}  // namespace step1x::demo
