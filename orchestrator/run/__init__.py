"""Jobs become results. From a verb to the work there are seven calls, each of which adds one thing.

preparation.run      further rounds, where the spec leaves their number open
Crew.run             each job goes to a node that can run it
NodeWorker.work      a node is taken and given back
Runner.run_job       further attempts, where they can help
Attempt.run          environment and inputs, and the result of the attempt
Attempt._measure     the job's output is read, and what it used is kept
TakenNode.run        the engine runs the job
"""
