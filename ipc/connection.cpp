#include "ipc/connection.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/error.hpp"
#include "ipc/socket_io.hpp"

namespace step1x::ipc {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxQueued = 4 << 20;
// Then the other connections have their turn, however fast more comes in.
constexpr int kFramesATurn = 16;

}  // namespace

std::shared_ptr<Connection> Connection::start(asio::io_context& io, UniqueFd socket, Handlers handlers,
                                              std::chrono::milliseconds patience) {
  std::shared_ptr<Connection> self(new Connection(io, std::move(socket), std::move(handlers), patience));
  // Posted, because co_spawn on the loop's own thread starts at once: nothing may be handed on before the caller has
  // the connection.
  asio::post(io, [self] {
    asio::co_spawn(self->socket_.get_executor(), [self] { return self->read_all(); }, asio::detached);
  });
  return self;
}

Connection::Connection(asio::io_context& io, UniqueFd socket, Handlers handlers, std::chrono::milliseconds patience)
    : socket_(io, asio::local::stream_protocol(), socket.release()),
      patience_(patience),
      watch_timer_(io),
      handlers_(std::move(handlers)) {
  socket_.non_blocking(true);
}

asio::awaitable<void> Connection::read_all() {
  const auto self = shared_from_this();
  int frames = 0;
  try {
    while (!closed_) {
      if (frames == kFramesATurn) {
        frames = 0;
        co_await asio::post(socket_.get_executor(), asio::use_awaitable);
        continue;
      }
      Message message;
      const ReadState state = read_some(socket_.native_handle(), reader_, message);
      if (state == ReadState::end) break;
      if (state == ReadState::would_block) {
        boost::system::error_code problem;
        co_await socket_.async_wait(asio::socket_base::wait_read, asio::redirect_error(asio::use_awaitable, problem));
        if (problem) break;
        frames = 0;
        continue;
      }
      if (state == ReadState::frame) {
        ++frames;
        ++frames_read_;
        handlers_.on_message(std::move(message));
      }
      if (!reader_.at_boundary() && !watching_) {
        asio::co_spawn(socket_.get_executor(), [self] { return self->watch(); }, asio::detached);
      }
    }
  } catch (const std::exception& problem) {
    // Whatever a message has led to costs its sender the connection, never the loop.
    why_ = problem.what();
  }
  close(why_);
  // The only strong reference that the handlers' owner may hold back is dropped with them.
  const Handlers handlers = std::move(handlers_);
  handlers_ = {};
  handlers.on_end(why_);
}

asio::awaitable<void> Connection::write_all() {
  const auto self = shared_from_this();
  try {
    while (!closed_ && !outgoing_.empty()) {
      Outgoing& front = outgoing_.front();
      std::size_t written = 0;
      const int fd = sent_of_front_ == 0 ? front.fd.get() : -1;
      const WriteState state =
          write_some(socket_.native_handle(), std::string_view(front.bytes).substr(sent_of_front_), fd, written);
      if (state == WriteState::end) {
        close();
        break;
      }
      if (state == WriteState::would_block) {
        if (!watching_) {
          asio::co_spawn(socket_.get_executor(), [self] { return self->watch(); }, asio::detached);
        }
        boost::system::error_code problem;
        co_await socket_.async_wait(asio::socket_base::wait_write, asio::redirect_error(asio::use_awaitable, problem));
        if (problem) break;
        continue;
      }
      bytes_written_ += written;
      sent_of_front_ += written;
      if (sent_of_front_ < front.bytes.size()) continue;
      queued_bytes_ -= front.bytes.size();
      outgoing_.pop_front();
      sent_of_front_ = 0;
    }
  } catch (const std::exception& problem) {
    close(problem.what());
  }
  writing_ = false;
  if (closing_ && outgoing_.empty()) close();
}

// Ends the connection when a frame was begun patience_ ago and has not ended, however slowly it drips in, and when for
// as long not one byte was taken of what waits to be sent. Runs only while something is half done.
asio::awaitable<void> Connection::watch() {
  const auto self = shared_from_this();
  watching_ = true;
  while (!closed_) {
    const bool reading = !reader_.at_boundary();
    const bool writing = !outgoing_.empty();
    if (!reading && !writing) break;
    const std::uint64_t frames = frames_read_;
    const std::uint64_t bytes = bytes_written_;
    watch_timer_.expires_after(patience_);
    boost::system::error_code problem;
    co_await watch_timer_.async_wait(asio::redirect_error(asio::use_awaitable, problem));
    if (problem || closed_) break;
    const auto seconds = std::chrono::duration<double>(patience_).count();
    if (reading && !reader_.at_boundary() && frames_read_ == frames)
      close(fmt::format("a frame was begun and not ended for {} seconds", seconds));
    if (writing && !outgoing_.empty() && bytes_written_ == bytes)
      close(fmt::format("it took nothing for {} seconds of what waited for it", seconds));
  }
  watching_ = false;
}

void Connection::queue(Outgoing item) {
  if (closed_) return;
  // With nothing queued any size goes: one result must always find its way.
  if (!outgoing_.empty() && queued_bytes_ + item.bytes.size() > kMaxQueued) {
    close("it does not read what it asked for");
    return;
  }
  queued_bytes_ += item.bytes.size();
  outgoing_.push_back(std::move(item));
  if (writing_) return;
  writing_ = true;
  asio::co_spawn(socket_.get_executor(), [self = shared_from_this()] { return self->write_all(); }, asio::detached);
}

void Connection::send(const Json& body, UniqueFd fd) {
  queue({encode_frame(body), std::move(fd), 0});
}

void Connection::send_latest(const Json& body, std::uint64_t key) {
  for (std::size_t i = outgoing_.size(); i-- > 0;) {
    const bool begun = i == 0 && sent_of_front_ > 0;
    if (outgoing_[i].key != key || begun) continue;
    queued_bytes_ -= outgoing_[i].bytes.size();
    outgoing_[i].bytes = encode_frame(body);
    queued_bytes_ += outgoing_[i].bytes.size();
    return;
  }
  queue({encode_frame(body), {}, key});
}

void Connection::close(const std::string& why) {
  if (closed_) return;
  closed_ = true;
  if (why_.empty()) why_ = why;
  outgoing_.clear();
  queued_bytes_ = 0;
  boost::system::error_code ignored;
  watch_timer_.cancel();
  // Cancels both waits: read_all() then reports the end.
  socket_.close(ignored);
}

void Connection::close_when_sent() {
  closing_ = true;
  if (outgoing_.empty()) close();
}

}  // namespace step1x::ipc
