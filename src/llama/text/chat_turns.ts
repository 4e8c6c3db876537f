/** Where the turns of a chat begin and end, in its text and in its tokens. */
import type {ChatMessage} from './chat_template';

/** The text of some messages, with what the model begins its answer after if `addGenerationPrompt`. */
export type RenderChat = (messages: readonly ChatMessage[], addGenerationPrompt: boolean) => string;

/** Places in the text of a chat, in characters. Ask for one turn after the other. */
export interface TurnsInText {
  /** Where message `turn` of the assistant begins: the template would let the model begin it there. */
  start(turn: number): number;
  /** Where message `turn` ends. */
  end(turn: number): number;
}

/** How many tokens of the whole text belong to its first `end` characters. Ask for rising numbers. */
export type TokensUpTo = (end: number) => number;

/** Finds turns by writing all that comes before each: the time for a chat grows with the square of its length. */
export function turnsByPrefixes(
  messages: readonly ChatMessage[],
  whole: string,
  render: RenderChat,
): TurnsInText {
  const lengthOf = (turn: number, text: string): number => {
    if (whole.startsWith(text)) return text.length;
    throw rewritten(turn);
  };
  const start = (turn: number): number =>
    turn === 0
      ? startOfFirst(messages, whole, render)
      : lengthOf(turn, render(messages.slice(0, turn), true));
  return {
    start,
    end(turn) {
      if (turn === messages.length - 1) return whole.length;
      const text = render(messages.slice(0, turn + 1), false);
      if (whole.startsWith(text)) return text.length;
      return endOfAnswer(turn, messages[turn]!, whole, start(turn), text);
    },
  };
}

/**
 * Where an answer ends that a template writes otherwise while it is the last one, as Qwen 3's does, which puts thoughts before it: after its
 * own text, and what the template writes behind that.
 *
 * @param asLast The text of the chat up to it.
 */
function endOfAnswer(
  turn: number,
  {role, content}: ChatMessage,
  whole: string,
  start: number,
  asLast: string,
): number {
  for (const text of role === 'assistant' ? [content, content.trim()] : []) {
    const at = asLast.lastIndexOf(text);
    const written = asLast.slice(at);
    if (text !== '' && at >= 0 && whole.startsWith(written, start)) return start + written.length;
  }
  throw rewritten(turn);
}

/**
 * Where the contents of the first message begin: behind what the template writes before it, such as a system message of its own. There are
 * no messages before it to write, so it is where the text becomes another one with other contents.
 */
function startOfFirst(
  [first, ...others]: readonly ChatMessage[],
  whole: string,
  render: RenderChat,
): number {
  // templates may leave out blanks at the start
  const content = first!.content.trimStart().startsWith('a') ? 'b' : 'a';
  return commonLength(whole, render([{...first!, content}, ...others], false));
}

/**
 * How many messages from the start of the chat, and how many just before a turn, are rendered with it. Templates look at these, so the
 * turn gets the text that it has in the whole chat.
 */
const [FIRST, BEFORE] = [3, 4];

/** Up to so many messages a turn that is written otherwise among fewer is found by all that come before it. */
const MOST_BY_PREFIXES = 200;

/**
 * Finds the same turns by writing each with a few other messages: for long chats. What a turn adds to the text of those before it
 * must stand in the whole text where the turn before it ends.
 */
export function turnsByNeighbours(
  messages: readonly ChatMessage[],
  whole: string,
  render: RenderChat,
): TurnsInText {
  const byPrefixes = turnsByPrefixes(messages, whole, render);
  /** How many messages end where. */
  let place: {count: number; end: number} | null = null;

  /** The messages before a turn that it is written with; those left out are even in number, for templates that want roles in turns. */
  const neighbours = (turn: number): ChatMessage[] => {
    const from = turn - BEFORE;
    const first = messages.slice(0, FIRST);
    return [...first, ...messages.slice((from - FIRST) % 2 === 0 ? from : from - 1, turn)];
  };
  /** How much longer the text becomes. */
  const added = (turn: number, before: string, after: string, at: number): number => {
    const text = after.slice(before.length);
    if (after.startsWith(before) && whole.startsWith(text, at)) return text.length;
    throw rewritten(turn);
  };
  /** Where the messages before a turn end. */
  const endBefore = (turn: number): number => {
    place ??= {count: FIRST + BEFORE, end: byPrefixes.end(FIRST + BEFORE - 1)};
    for (; place.count < turn; place.count++) {
      const {count, end} = place;
      const before = neighbours(count);
      const [text, after] = [render(before, false), render([...before, messages[count]!], false)];
      const isAlike = after.startsWith(text) && whole.startsWith(after.slice(text.length), end);
      if (!isAlike && messages.length > MOST_BY_PREFIXES) throw rewritten(count);
      place.end = isAlike ? end + after.length - text.length : byPrefixes.end(count);
    }
    return place.end;
  };
  return {
    start(turn) {
      if (turn < FIRST + BEFORE) return byPrefixes.start(turn);
      const [end, before] = [endBefore(turn), neighbours(turn)];
      return end + added(turn, render(before, false), render(before, true), end);
    },
    end(turn) {
      const isNear = turn < FIRST + BEFORE || turn === messages.length - 1;
      return isNear ? byPrefixes.end(turn) : endBefore(turn + 1);
    },
  };
}

function rewritten(turn: number): Error {
  return new Error(
    `the chat template writes the turns before message ${turn + 1} otherwise once it is there, ` +
      'so that its answer cannot be told from its prompt',
  );
}

/** The tokens of a text: of a long one those at its start, if no more than `most` are needed. */
export type EncodeStart = (text: string, max?: number) => readonly number[];

/** Counts tokens by encoding all of the text up to each place. Those up to the first that extends beyond it are counted. */
export function tokensByPrefixes(
  whole: string,
  ids: readonly number[],
  encode: EncodeStart,
): TokensUpTo {
  return (end) => commonLength(ids, encode(whole.slice(0, end)));
}

/** Tokens depend on the text around them no further than so many characters; each of these is four tokens at most. */
const [NEARBY, MAX_TOKENS] = [256, 4 * 256];

/** Counts the same tokens by encoding what lies between one place and the next, and some characters around it: for long chats. */
export function tokensByNeighbours(
  whole: string,
  ids: readonly number[],
  encode: EncodeStart,
): TokensUpTo {
  let [last, count] = [0, 0];
  return (end) => {
    const from = wholeCharacter(whole, last - NEARBY);
    const left = ids.length - count;
    const part = (to: number): readonly number[] =>
      encode(whole.slice(from, to), left + MAX_TOKENS);
    const around = part(wholeCharacter(whole, end + NEARBY));
    const before = last === 0 ? 0 : commonLength(around, part(last));
    const between = around.slice(before, commonLength(around, part(end)));
    const added = Math.min(between.length, left);
    if (commonLength(between, ids, count) < added) {
      throw new Error('its turns are too many to be told apart with this tokenizer');
    }
    [last, count] = [end, count + added];
    return count;
  };
}

/** A place in a text that is not within a character. */
function wholeCharacter(text: string, place: number): number {
  const at = Math.min(Math.max(place, 0), text.length);
  return at > 0 && text.codePointAt(at - 1)! > 0xffff ? at + 1 : at;
}

/** How many ids two lists have in common, or characters two texts, from the start of the one and from a place in the other. */
export function commonLength<T>(a: ArrayLike<T>, b: ArrayLike<T>, from = 0): number {
  const end = Math.min(a.length, b.length - from);
  let i = 0;
  while (i < end && a[i] === b[from + i]) i++;
  return i;
}
