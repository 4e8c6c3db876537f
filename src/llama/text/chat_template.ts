import {Environment, Template} from '@huggingface/jinja';
import {LimitedInterpreter, limitedRange} from './limited_interpreter';
import {reasonOf} from './reason';

/** One turn of a chat, with any further fields that a template reads. */
export interface ChatMessage {
  /** `'system'`, `'user'`, `'assistant'`, or another role that the template knows. */
  role: string;
  content: string;
  [field: string]: unknown;
}

/** A chat as the text that the model was trained on. */
export type ChatTemplate = (
  messages: readonly ChatMessage[],
  variables: Record<string, unknown>,
) => string;

/** Longer than any template in use, ten times. */
const LONGEST = 200_000;
/** The longest run of white space: the library takes its square to read it, a minute for 200000. */
const LONGEST_BLANK = 1000;

/** Characters of a message that are shown. */
const LONGEST_REASON = 1000;

/**
 * Compiles a chat template of Hugging Face, which is written in Jinja. It may use what transformers provides:
 * `raise_exception`, `strftime_now`, the filter `tojson`, `{% generation %}`.
 *
 * @throws if it is not a template, or longer than any.
 */
export function compileChatTemplate(source: string): ChatTemplate {
  const {parsed} = attempt('loadTokenizer: the chat template cannot be read', () => {
    if (source.length > LONGEST) {
      throw new Error(`it must have at most ${LONGEST} characters; got ${source.length}`);
    }
    if (new RegExp(`\\s{${LONGEST_BLANK + 1}}`).test(source)) {
      throw new Error(`it has more than ${LONGEST_BLANK} blanks in a row; take them out`);
    }
    return new Template(source.replace(/\r\n?/g, '\n')); // as Python's jinja2 reads line ends
  });
  return (messages, variables) =>
    attempt('applyChatTemplate: the chat template cannot be applied', () => {
      const environment = new Environment();
      const all = {...globals, ...variables, messages};
      for (const [name, value] of Object.entries(all)) environment.set(name, value);
      return new LimitedInterpreter(environment).run(parsed).value as string;
    });
}

function attempt<T>(what: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const reason =
      reasonOf(cause, 'the template of a model that you trust') ||
      'a break or continue of it stands outside a loop';
    // it may have been made of all texts that there are
    const shown = reason.length > LONGEST_REASON ? `${reason.slice(0, LONGEST_REASON)}…` : reason;
    throw new Error(`${what}: ${shown}`, {cause});
  }
}

/** More than a date needs, a thousand times. */
const LONGEST_FORMAT = 100_000;

/** What every template can use. They get what the template gives to them, of any type: one that takes years to be written, too. */
const globals = {
  ...{true: true, false: false, none: null, True: true, False: false, None: null},
  ...{tools: null, documents: null}, // which transformers gives to every template
  range: limitedRange,
  raise_exception: (message: unknown) => {
    throw new Error(typeof message === 'string' ? message : 'raise_exception() must have a text');
  },
  // that of the library names months in the language of the machine; Python's names them in English
  strftime_now: strftimeNow,
};

const DATE_PARTS: Readonly<Record<string, Intl.DateTimeFormatOptions>> = {
  a: {weekday: 'short'},
  A: {weekday: 'long'},
  b: {month: 'short'},
  B: {month: 'long'},
};

/**
 * Python's `strftime` of this moment.
 *
 * @throws if the format is not a text, or has a code that is not known here.
 */
function strftimeNow(format: unknown): string {
  if (typeof format !== 'string' || format.length > LONGEST_FORMAT) {
    throw new Error(`strftime_now() must have a text of at most ${LONGEST_FORMAT} characters`);
  }
  const now = new Date();
  const padded = (n: number, length = 2): string => String(n).padStart(length, '0');
  const hours = now.getHours() % 12 || 12;
  const newYear = Date.UTC(now.getFullYear(), 0, 1);
  const today = Date.UTC(now.getFullYear(), now.getMonth(), now.getDate());
  const numbers: Readonly<Record<string, string>> = {
    Y: String(now.getFullYear()),
    y: padded(now.getFullYear() % 100),
    m: padded(now.getMonth() + 1),
    '-m': String(now.getMonth() + 1),
    d: padded(now.getDate()),
    '-d': String(now.getDate()),
    j: padded((today - newYear) / 86_400_000 + 1, 3),
    H: padded(now.getHours()),
    I: padded(hours),
    '-I': String(hours),
    p: now.getHours() < 12 ? 'AM' : 'PM',
    M: padded(now.getMinutes()),
    S: padded(now.getSeconds()),
    '%': '%',
  };
  // a name takes long to be found, and a format may ask for it without end
  const names: Record<string, string> = {};
  return format.replace(/%(-?[a-zA-Z%]?)/g, (code, letter: string) => {
    const part = DATE_PARTS[letter];
    const text = part ? (names[letter] ??= now.toLocaleDateString('en-US', part)) : numbers[letter];
    if (text !== undefined) return text;
    const known = [...Object.keys(DATE_PARTS), ...Object.keys(numbers)].map((each) => `%${each}`);
    throw new Error(
      `strftime_now does not know '${code}' in '${format}'; it knows ${known.join(' ')}`,
    );
  });
}
