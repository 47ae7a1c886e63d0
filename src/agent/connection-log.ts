/** Says each change of the connection once. */
export function connectionLog(
  log: (message: string) => void,
  server: string,
  onChange: (connected: boolean) => void,
): (connected: boolean, detail: string) => void {
  let before: boolean | undefined;
  return (connected, detail) => {
    if (connected === before) return;
    before = connected;
    log(
      connected
        ? `control plane: connected to ${server}`
        : `control plane: ${detail}; enforcement goes on, trying again`,
    );
    onChange(connected);
  };
}
