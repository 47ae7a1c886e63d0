/** Where the server says what happened: one line, already a sentence. Given by whoever starts it. */
export type Log = (level: 'info' | 'warn' | 'error', message: string) => void;
