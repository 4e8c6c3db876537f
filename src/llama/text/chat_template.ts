import {Template} from '@huggingface/jinja';

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

/**
 * The library's `strftime_now` names months in the language of the machine; Python's names them in English.
 * A variable cannot replace a global, but an assignment can.
 */
const PREAMBLE = '{% set strftime_now = english_strftime_now %}\n';

/**
 * Compiles a chat template of Hugging Face, which is written in Jinja. It may use what transformers provides:
 * `raise_exception`, `strftime_now`, the filter `tojson`, `{% generation %}`.
 *
 * @throws if it is not a template.
 */
export function compileChatTemplate(source: string): ChatTemplate {
  const template = attempt(
    'loadTokenizer: the chat template cannot be read',
    () => new Template(PREAMBLE + source),
  );
  return (messages, variables) =>
    attempt('applyChatTemplate: the chat template cannot be applied', () =>
      template.render({english_strftime_now: strftimeNow, ...variables, messages}),
    );
}

function attempt<T>(what: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${what}: ${reason}`, {cause});
  }
}

const DATE_PARTS: Readonly<Record<string, Intl.DateTimeFormatOptions>> = {
  a: {weekday: 'short'},
  A: {weekday: 'long'},
  b: {month: 'short'},
  B: {month: 'long'},
};

/** Python's `strftime` of this moment. */
function strftimeNow(format: string): string {
  const now = new Date();
  const two = (n: number): string => String(n).padStart(2, '0');
  const numbers: Readonly<Record<string, string>> = {
    Y: String(now.getFullYear()),
    y: two(now.getFullYear() % 100),
    m: two(now.getMonth() + 1),
    d: two(now.getDate()),
    H: two(now.getHours()),
    M: two(now.getMinutes()),
    S: two(now.getSeconds()),
    '%': '%',
  };
  return format.replace(/%([a-zA-Z%])/g, (code, letter: string) => {
    const part = DATE_PARTS[letter];
    return part ? now.toLocaleDateString('en-US', part) : (numbers[letter] ?? code);
  });
}
